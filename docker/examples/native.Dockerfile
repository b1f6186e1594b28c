# SPDX-License-Identifier: Apache-2.0
# A static program in an image with nothing else: the agent needs nothing of it either.
#   docker build -f docker/examples/native.Dockerfile -t shop SERVICE_FOLDER
FROM scratch
COPY --from=agent /usr/bin/agent /usr/bin/agent
COPY shop /shop
USER 1000:1000
ENV PYROSCOPE_APPLICATION_NAME=shop.service PYROSCOPE_SERVER_ADDRESS=http://pyroscope:4040
ENTRYPOINT ["/usr/bin/agent", "exec", "/shop"]
