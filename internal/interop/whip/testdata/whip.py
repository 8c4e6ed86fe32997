"""Brings a red picture and a tone of 1000 Hz into a call by WHIP, with GStreamer's webrtcbin. It ends the session when its
standard input is closed."""

import sys
import threading
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

url, token = sys.argv[1:]
PIPELINE = """
webrtcbin name=out bundle-policy=max-bundle
videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=15/1
  ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=3000 ! rtpvp8pay pt=96
  ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! out.
audiotestsrc is-live=true freq=1000 volume=0.4 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay pt=97
  ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! out.
"""


def http(method, where, body=None):
    head = {"Authorization": "Bearer " + token}
    if body:
        head["Content-Type"] = "application/sdp"
    req = urllib.request.Request(where, body and body.encode(), head, method=method)
    with urllib.request.urlopen(req, timeout=20) as res:
        return res.headers.get("Location"), res.read().decode()


def described(webrtc, signal, desc):
    promise = Gst.Promise.new()
    webrtc.emit(signal, desc, promise)
    promise.interrupt()


def main():
    Gst.init(None)
    loop = GLib.MainLoop()
    pipeline = Gst.parse_launch(PIPELINE)
    webrtc = pipeline.get_by_name("out")
    session = []

    def send():
        offer = webrtc.get_property("local-description").sdp.as_text()
        location, answer = http("POST", url, offer)
        session.append(urllib.parse.urljoin(url, location))
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        described(webrtc, "set-remote-description", answer)
        print("posted", flush=True)

    def gathered(*_):
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=send, daemon=True).start()

    def created(promise, *_):
        reply = promise.get_reply()  # what it has lives as long as it does
        described(webrtc, "set-local-description", reply.get_value("offer"))

    def needed(*_):
        for i in range(2):
            webrtc.emit("get-transceiver", i).set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(created, None))

    def wait():
        sys.stdin.read()
        http("DELETE", session[0])
        GLib.idle_add(loop.quit)

    webrtc.connect("on-negotiation-needed", needed)
    webrtc.connect("notify::ice-gathering-state", gathered)
    webrtc.connect("notify::connection-state", lambda *_: print(webrtc.get_property("connection-state"), flush=True))
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", lambda _, m: print("error", m.parse_error(), flush=True))
    threading.Thread(target=wait, daemon=True).start()
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    pipeline.set_state(Gst.State.NULL)


main()
