// One request of the API: Connect over HTTP with JSON.

import { headers } from "./session";

// Failure is an error of the API: a code that programs know and a sentence for people.
export class Failure extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

export async function failureOf(answer: Response): Promise<Failure> {
  try {
    const said = (await answer.json()) as { code?: string; message?: string; detail?: string; title?: string };
    return new Failure(said.code ?? String(answer.status), said.message ?? said.detail ?? said.title ?? answer.statusText);
  } catch {
    return new Failure(String(answer.status), `The daemon answered with ${answer.status} ${answer.statusText}.`);
  }
}

export async function rpc<Res>(service: string, method: string, request: object = {}): Promise<Res> {
  let answer: Response;
  try {
    answer = await fetch(`/jingled.v1.${service}/${method}`, {
      method: "POST",
      headers: headers({ "Content-Type": "application/json", "Connect-Protocol-Version": "1" }),
      body: JSON.stringify(request),
    });
  } catch {
    throw new Failure("unreachable", "The daemon does not answer.");
  }
  if (!answer.ok) throw await failureOf(answer);
  return (await answer.json()) as Res;
}
