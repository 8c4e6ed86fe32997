#!/usr/bin/env bash
# Installs what the tests need beyond Go and is missing. As root on Debian or Ubuntu it uses apt-get; anywhere else it
# says what to install, and the tests that need it skip and say so. With CI=true a missing component is a failure.
set -euo pipefail

# package | a command that succeeds if it is there | what it is for
COMPONENTS='
gcc|command -v gcc|the race detector (with libc6-dev)
libc6-dev|test -e /usr/include/stdlib.h|the race detector
prosody|test -x /usr/bin/prosody|tests against a real XMPP server
prosody-modules|test -d /usr/lib/prosody/modules/mod_sasl2_fast|logins in one go at a real XMPP server
ejabberd|ls /usr/lib/*/ejabberd-*|tests against a real XMPP server
coturn|command -v turnutils_uclient|tests with a TURN server and client of other people
pebble|command -v pebble|certificates from an ACME server of other people
redis-server|command -v redis-server || command -v valkey-server|tests of limits that relays share
chromium-headless-shell|command -v chromium-headless-shell|tests against a browser
nodejs|command -v node|making the page for a browser
npm|command -v npm|making the page for a browser
iproute2|command -v ip|tests in a network of their own
nftables|command -v nft|tests of calls through NATs
opus-tools|command -v opusdec|tests of sound files
pulseaudio|command -v pulseaudio|tests with a sound server of other people
clang|command -v clang|building the kernel relay again
llvm|command -v llvm-strip|building the kernel relay again
libbpf-dev|test -e /usr/include/bpf/bpf_helpers.h|building the kernel relay again
systemd|command -v systemd-socket-activate|tests of sockets that systemd opens
python3-aiortc|/usr/bin/python3 -c "import aiortc"|tests with a WebRTC client of other people
python3-gst-1.0|/usr/bin/python3 -c "import gi; gi.require_version(\"Gst\", \"1.0\")"|tests with the WebRTC of GStreamer
gir1.2-gst-plugins-bad-1.0|ls /usr/lib/*/girepository-1.0/GstWebRTC-1.0.typelib|tests with the WebRTC of GStreamer
gstreamer1.0-plugins-base|ls /usr/lib/*/gstreamer-1.0/libgstopus.so|tests with the WebRTC of GStreamer
gstreamer1.0-plugins-bad|ls /usr/lib/*/gstreamer-1.0/libgstwebrtc.so|tests with the WebRTC of GStreamer
gstreamer1.0-plugins-good|ls /usr/lib/*/gstreamer-1.0/libgstvpx.so|tests with the WebRTC of GStreamer
gstreamer1.0-tools|command -v gst-launch-1.0|tests of RTP with programs of other people
ffmpeg|command -v ffmpeg|tests of RTP with programs of other people
gstreamer1.0-nice|ls /usr/lib/*/gstreamer-1.0/libgstnice.so|tests with the WebRTC of GStreamer
python3-slixmpp|/usr/bin/python3 -c "import slixmpp"|tests with an XMPP client of other people
python3-grpcio|/usr/bin/python3 -c "import grpc"|tests with a client in Python
python3-protobuf|/usr/bin/python3 -c "import google.protobuf"|tests with a client in Python
protobuf-compiler|command -v protoc|making clients from the schema
protobuf-compiler-grpc|command -v grpc_python_plugin|making clients from the schema
libprotobuf-dev|test -e /usr/include/google/protobuf/timestamp.proto|making clients from the schema
gnome-keyring|command -v gnome-keyring-daemon|tests with a keyring of other people
dbus|command -v dbus-run-session && command -v dbus-send|tests with a keyring of other people
'

missing=()
notes=()
while IFS='|' read -r package probe use; do
	[ -n "$package" ] || continue
	if ! sh -c "$probe" >/dev/null 2>&1; then
		missing+=("$package")
		notes+=("  $package: $use")
	fi
done <<<"$COMPONENTS"

[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing: ${missing[*]}"
	# Debian starts a server as soon as it is installed. The tests start their own, so nothing else should listen.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f $policy' EXIT
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	exit 0
fi

echo "The tests use components that are not on this machine:"
printf '%s\n' "${notes[@]}"
echo "On Debian or Ubuntu: sudo apt-get install ${missing[*]}"
if [ "${CI:-}" = true ]; then
	echo "CI=true: this is a failure."
	exit 1
fi
echo "Without them the tests concerned are skipped."
