// The requests that the phone makes.

import { rpc } from "./connect";
import type { Account, Availability, Call, Contact, HistoryEntry, Info, OwnPresence, SubscriptionRequest, Transfer } from "./types";

export interface CallRef {
  account: string;
  sid: string;
}

export const info = () => rpc<Info>("DaemonService", "GetInfo");
export const accounts = async () => (await rpc<{ accounts?: Account[] }>("DaemonService", "ListAccounts")).accounts ?? [];

export interface ContactLists {
  contacts?: Contact[];
  requests?: SubscriptionRequest[];
  presences?: OwnPresence[];
}

export const contacts = () => rpc<ContactLists>("ContactService", "ListContacts");
export const addContact = (account: string, jid: string, name: string) =>
  rpc("ContactService", "AddContact", { account, jid, name });
export const renameContact = (account: string, jid: string, name: string) =>
  rpc("ContactService", "UpdateContact", { account, jid, name });
export const removeContact = (account: string, jid: string) => rpc("ContactService", "RemoveContact", { account, jid });
export const answerSubscription = (account: string, jid: string, accept: boolean) =>
  rpc("ContactService", "AnswerSubscription", { account, jid, accept, mutual: accept });
export const setPresence = (account: string, availability: Availability, status: string) =>
  rpc("ContactService", "SetPresence", { account, availability, status });

export const block = (account: string, jid: string) => rpc("BlockService", "Block", { account, jids: [jid] });
export const unblock = (account: string, jid: string) => rpc("BlockService", "Unblock", { account, jids: [jid] });
export const blocked = async () =>
  (await rpc<{ lists?: { account?: string; jids?: string[] }[] }>("BlockService", "ListBlocked")).lists ?? [];

export const calls = async () => (await rpc<{ calls?: Call[] }>("CallService", "ListCalls")).calls ?? [];
export const startCall = async (account: string, peer: string, video: boolean, relayOnly: boolean) =>
  (await rpc<{ sid: string }>("CallService", "StartCall", { account, peer, media: media(video, relayOnly) })).sid;
export const answerCall = (c: CallRef, video: boolean, relayOnly: boolean) =>
  rpc("CallService", "AnswerCall", { ...ref(c), media: media(video, relayOnly) });
export const endCall = (c: CallRef, reason = "") => rpc("CallService", "EndCall", { ...ref(c), reason });
export const dtmf = (c: CallRef, digits: string) => rpc("CallService", "SendDtmf", { ...ref(c), digits });
export const control = (c: CallRef, change: { mute?: boolean; hold?: boolean }) =>
  rpc("CallService", "ControlCall", { ...ref(c), ...change });

export const transfers = async () => (await rpc<{ transfers?: Transfer[] }>("TransferService", "ListTransfers")).transfers ?? [];
export const acceptFile = (c: CallRef) => rpc("TransferService", "AcceptFile", ref(c));
export const endTransfer = (c: CallRef) => rpc("TransferService", "EndTransfer", ref(c));
export const pauseTransfer = (c: CallRef) => rpc("TransferService", "PauseTransfer", ref(c));
export const resumeTransfer = (c: CallRef) => rpc("TransferService", "ResumeTransfer", ref(c));

export const history = async (limit = 200) =>
  (await rpc<{ entries?: HistoryEntry[] }>("HistoryService", "ListHistory", { limit })).entries ?? [];

function ref(c: CallRef): CallRef {
  return { account: c.account, sid: c.sid };
}

function media(video: boolean, relayOnly: boolean): object {
  return { video, ice: relayOnly ? "ICE_POLICY_RELAY" : "ICE_POLICY_UNSPECIFIED" };
}
