# SPDX-License-Identifier: Apache-2.0
# A .NET service: what `dotnet publish -r linux-x64 --self-contained -o app` has made, on the image of its libraries.
#   docker build -f docker/examples/dotnet.Dockerfile -t cart SERVICE_FOLDER
FROM mcr.microsoft.com/dotnet/runtime-deps:10.0
COPY --from=agent /usr/bin/agent /usr/bin/agent
COPY app /app
ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
USER 1000:1000
ENV PYROSCOPE_APPLICATION_NAME=cart.service PYROSCOPE_SERVER_ADDRESS=http://pyroscope:4040
ENTRYPOINT ["agent", "exec", "/app/cartservice"]
