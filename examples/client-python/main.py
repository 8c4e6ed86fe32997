#!/usr/bin/env python3
"""Watches the events of jingled, answers the first call, and sends its caller a file.

    apt install python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc   (or pip install grpcio-tools)
    protoc -I ../../api --python_out=. --grpc_python_out=. --plugin=protoc-gen-grpc_python=$(which grpc_python_plugin) \\
        ../../api/jingled/v1/*.proto
    ./main.py FILE
"""

import os
import sys

import grpc
from jingled.v1 import jingled_pb2 as api
from jingled.v1 import jingled_pb2_grpc as services

SOCKET = os.environ.get("JINGLED_SOCKET") or os.environ.get("XDG_RUNTIME_DIR", "") + "/jingled/jingled.sock"


def main(path):
    # gRPC would send the path of the socket as the host's name, which HTTP servers do not take.
    with grpc.insecure_channel("unix:" + SOCKET, [("grpc.default_authority", "jingled")]) as channel:
        calls = services.CallServiceStub(channel)
        transfers = services.TransferServiceStub(channel)
        sid = ""
        for response in services.EventServiceStub(channel).Watch(api.WatchRequest(welcome=[api.Welcome(calls=True)])):
            event = response.event
            body = event.WhichOneof("body")
            if body == "hello":
                print("watching", flush=True)
            elif body == "call_incoming":
                media = api.Media(audio_in="tone:440")
                calls.AnswerCall(api.AnswerCallRequest(account=event.account, sid=event.sid, media=media))
            elif body == "call_connected":
                print("speaking with", event.peer, "by", event.call_connected.codec, flush=True)
                peer = event.peer.split("/")[0]
                request = api.SendFileRequest(account=event.account, peer=peer, path=os.path.abspath(path))
                sid = transfers.SendFile(request).sid
            elif body == "transfer_progress":
                print(event.transfer_progress.bytes, "of", event.transfer_progress.size, "bytes", flush=True)
            elif body == "transfer_done" and event.sid == sid:
                print("sent", event.transfer_done.path)
                return 0
            elif body == "transfer_failed" and event.sid == sid:
                print("failed:", event.transfer_failed.reason, event.transfer_failed.text)
                return 1
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
