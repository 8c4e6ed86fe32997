"""Plays a call by WHEP with aiortc, and tells what is seen and heard: a line of JSON with the mean colour of a frame, or with
the loudest frequency of 0.2 seconds of sound. It ends the session when its standard input is closed."""

import asyncio
import json
import sys
import urllib.request

import numpy
from aiortc import RTCPeerConnection, RTCSessionDescription

url, token = sys.argv[1:]


def http(method, where, body=None):
    head = {"Authorization": "Bearer " + token}
    if body:
        head["Content-Type"] = "application/sdp"
    req = urllib.request.Request(where, body and body.encode(), head, method=method)
    with urllib.request.urlopen(req, timeout=20) as res:
        return res.headers.get("Location"), res.read().decode()


def tell(**what):
    print(json.dumps(what), flush=True)


async def watch(track):
    while True:
        frame = await track.recv()
        rgb = frame.to_ndarray(format="rgb24")
        tell(color=[int(c) for c in rgb.mean(axis=(0, 1))], width=frame.width, height=frame.height)


async def listen(track):
    pcm = numpy.zeros(0)
    while True:
        frame = await track.recv()
        samples = frame.to_ndarray().astype(float).reshape(-1, len(frame.layout.channels))[:, 0]
        pcm = numpy.concatenate([pcm, samples])
        if len(pcm) >= frame.sample_rate // 5:
            spectrum = abs(numpy.fft.rfft(pcm * numpy.hanning(len(pcm))))
            tell(hz=int(numpy.argmax(spectrum) * frame.sample_rate / len(pcm)), level=float(abs(pcm).mean()))
            pcm = numpy.zeros(0)


async def main():
    pc = RTCPeerConnection()
    pc.addTransceiver("audio", direction="recvonly")
    pc.addTransceiver("video", direction="recvonly")
    tasks = []
    pc.on("track", lambda t: tasks.append(asyncio.ensure_future(watch(t) if t.kind == "video" else listen(t))))
    pc.on("connectionstatechange", lambda: tell(state=pc.connectionState))
    await pc.setLocalDescription(await pc.createOffer())
    location, answer = await asyncio.to_thread(http, "POST", url, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    tell(location=location)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.to_thread(http, "DELETE", urllib.parse.urljoin(url, location))
    await pc.close()


asyncio.run(main())
