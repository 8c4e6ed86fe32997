#!/bin/sh
set -e
# On an upgrade the new version restarts the service.
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl disable --now jingle-relay.service || true
fi
