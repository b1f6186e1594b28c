# SPDX-License-Identifier: Apache-2.0
# A Python service. Two lines make it a profiled one: the COPY, and "agent", "exec" before the command.
#   docker build -f docker/examples/python.Dockerfile -t email SERVICE_FOLDER
FROM python:3.11-slim-bookworm
COPY --from=agent /usr/bin/agent /usr/bin/agent
WORKDIR /srv
COPY email_server.py .
# Nothing is asked of the container: no capability, no root, no writable file system.
USER 1000:1000
ENV PYROSCOPE_APPLICATION_NAME=email.service PYROSCOPE_SERVER_ADDRESS=http://pyroscope:4040
ENTRYPOINT ["agent", "exec", "python", "email_server.py"]
