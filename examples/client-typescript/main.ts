// Watches the events of jingled, answers the first call, and sends its caller a file.
//
//   npm ci
//   protoc -I ../../api --es_out=gen --es_opt=target=ts,import_extension=js --plugin=node_modules/.bin/protoc-gen-es ../../api/jingled/v1/*.proto
//   npx tsc && node out/main.js FILE
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { resolve } from "node:path";
import { CallService, EventService, TransferService } from "./gen/jingled/v1/jingled_pb.js";

const socketPath = process.env.JINGLED_SOCKET ?? `${process.env.XDG_RUNTIME_DIR}/jingled/jingled.sock`;
const transport = createConnectTransport({ baseUrl: "http://jingled", httpVersion: "1.1", nodeOptions: { socketPath } });
const [events, calls, transfers] = [
  createClient(EventService, transport),
  createClient(CallService, transport),
  createClient(TransferService, transport),
];

let sid = "";
for await (const { event } of events.watch({ welcome: [{ calls: true }] })) {
  if (!event) continue;
  const { account, peer, body } = event;
  switch (body.case) {
    case "hello":
      console.log("watching");
      break;
    case "callIncoming":
      await calls.answerCall({ account, sid: event.sid, media: { audioIn: "tone:440" } });
      break;
    case "callConnected":
      console.log("speaking with", peer, "by", body.value.codec);
      ({ sid } = await transfers.sendFile({ account, peer: peer.split("/")[0], path: resolve(process.argv[2]) }));
      break;
    case "transferProgress":
      console.log(body.value.bytes, "of", body.value.size, "bytes");
      break;
    case "transferDone":
      if (event.sid !== sid) break;
      console.log("sent", body.value.path);
      process.exit(0);
    case "transferFailed":
      if (event.sid !== sid) break;
      console.log("failed:", body.value.reason, body.value.text);
      process.exit(1);
  }
}
