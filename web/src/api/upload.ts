// A file goes to the daemon first, which then offers it to the peer.

import { Failure } from "./connect";
import { headers } from "./session";

export interface Upload {
  // sid is the name of the transfer that it has become.
  sid: Promise<string>;
  cancel(): void;
}

// upload is done by XMLHttpRequest, as fetch does not tell how far it is.
export function upload(account: string, peer: string, file: File, progress: (bytes: number) => void): Upload {
  const request = new XMLHttpRequest();
  const where = new URLSearchParams({ account, peer, name: file.name });
  const sid = new Promise<string>((done, fail) => {
    request.upload.onprogress = (e) => progress(e.loaded);
    request.onerror = () => fail(new Failure("unreachable", "The file did not reach the daemon."));
    request.onabort = () => fail(new Failure("canceled", "Cancelled."));
    request.onload = () => {
      const said = JSON.parse(request.responseText || "{}") as { sid?: string; code?: string; message?: string };
      if (request.status === 201 && said.sid) done(said.sid);
      else fail(new Failure(said.code ?? String(request.status), said.message ?? request.statusText));
    };
    request.open("POST", `/upload?${where}`);
    for (const [name, value] of Object.entries(headers({ "Content-Type": "application/octet-stream" }))) {
      request.setRequestHeader(name, value);
    }
    request.send(file);
  });
  return { sid, cancel: () => request.abort() };
}
