#!/bin/sh
set -e
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers jingle-relay.conf
fi
# Secrets are for root and the relay alone.
chgrp -R jingle-relay /etc/jingle-relay
chmod 0750 /etc/jingle-relay
# It is not started: there is something to configure first.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart jingle-relay.service || true
fi
