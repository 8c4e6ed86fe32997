// The messages of jingled.v1 as JSON, as far as the phone uses them. api/jingled/v1 is the source; in JSON, numbers of 64
// bits are strings and what has its zero value is absent.

export type AccountState =
  | "ACCOUNT_STATE_CONNECTING"
  | "ACCOUNT_STATE_ONLINE"
  | "ACCOUNT_STATE_OFFLINE"
  | "ACCOUNT_STATE_STOPPED";

export interface Account {
  jid: string;
  boundJid?: string;
  state?: AccountState;
  error?: string;
}

export type Availability =
  | "AVAILABILITY_UNSPECIFIED"
  | "AVAILABILITY_AVAILABLE"
  | "AVAILABILITY_CHAT"
  | "AVAILABILITY_AWAY"
  | "AVAILABILITY_XA"
  | "AVAILABILITY_DND"
  | "AVAILABILITY_OFFLINE";

export interface Abilities {
  audio?: boolean;
  video?: boolean;
  files?: boolean;
  dtmf?: boolean;
}

export interface Device {
  jid: string;
  availability?: Availability;
  status?: string;
  abilities?: Abilities;
  client?: string;
  clientType?: string;
}

export interface Contact {
  account?: string;
  jid: string;
  name?: string;
  groups?: string[];
  subscription?: string;
  asked?: boolean;
  availability?: Availability;
  status?: string;
  abilities?: Abilities;
  devices?: Device[];
}

export interface SubscriptionRequest {
  account?: string;
  jid?: string;
  text?: string;
}

export interface OwnPresence {
  account?: string;
  availability?: Availability;
  status?: string;
}

export type CallState = "CALL_STATE_CALLING" | "CALL_STATE_RINGING" | "CALL_STATE_CONNECTING" | "CALL_STATE_CONNECTED";

export interface Call {
  account?: string;
  peer?: string;
  sid: string;
  incoming?: boolean;
  state?: CallState;
  since?: string;
  muted?: boolean;
  held?: boolean;
  peerMuted?: boolean;
  peerHeld?: boolean;
}

export type TransferState =
  | "TRANSFER_STATE_OFFERED"
  | "TRANSFER_STATE_CONNECTING"
  | "TRANSFER_STATE_RUNNING"
  | "TRANSFER_STATE_WAITING"
  | "TRANSFER_STATE_PAUSED"
  | "TRANSFER_STATE_PAUSED_BY_PEER";

export interface Transfer {
  account?: string;
  peer?: string;
  sid: string;
  incoming?: boolean;
  state?: TransferState;
  name?: string;
  size?: string;
  bytes?: string;
  transport?: string;
  encryption?: string;
}

export interface VideoStats {
  codec?: string;
  packetsReceived?: string;
  packetsLost?: string;
  bytesSent?: string;
  bytesReceived?: string;
}

export interface CallStats {
  packetsSent?: string;
  packetsReceived?: string;
  packetsLost?: string;
  bytesSent?: string;
  bytesReceived?: string;
  jitterMs?: number;
  roundTripMs?: number;
  mos?: number;
  video?: VideoStats;
}

export interface PastCall {
  account?: string;
  peer?: string;
  sid?: string;
  incoming?: boolean;
  video?: boolean;
  began?: string;
  ended?: string;
  connected?: boolean;
  conversation?: string; // "12.5s"
  reason?: string;
  text?: string;
  byPeer?: boolean;
}

export interface PastTransfer {
  account?: string;
  peer?: string;
  sid?: string;
  incoming?: boolean;
  began?: string;
  ended?: string;
  name?: string;
  size?: string;
  bytes?: string;
  path?: string;
  complete?: boolean;
  verified?: boolean;
  hash?: string;
  reason?: string;
  text?: string;
}

export interface HistoryEntry {
  call?: PastCall;
  transfer?: PastTransfer;
}

export interface Info {
  version?: string;
  features?: string[];
}

// Event has one body; which one says what has happened.
export interface Event {
  seq?: string;
  time?: string;
  account?: string;
  peer?: string;
  sid?: string;
  hello?: object;
  gap?: object;
  accountChanged?: Account;
  callIncoming?: { audio?: boolean; video?: boolean };
  callRinging?: object;
  callAccepted?: object;
  callConnected?: { setupMs?: number; codec?: string };
  callDtmf?: { digit?: string };
  callDtmfRefused?: { digit?: string; text?: string };
  callMeter?: { duration?: string; codec?: string; relayed?: boolean; stats?: CallStats };
  callPeerState?: { muted?: boolean; held?: boolean };
  callVideo?: { on?: boolean; codec?: string; text?: string };
  callEnded?: { reason?: string; text?: string; byPeer?: boolean; wasConnected?: boolean; duration?: string; successor?: string };
  transferOffered?: { name?: string; size?: string; mediaType?: string; description?: string; encrypted?: boolean };
  transferStarted?: { transport?: string; encryption?: string };
  transferProgress?: { bytes?: string; size?: string; bytesPerSecond?: number };
  transferInterrupted?: { bytes?: string; state?: TransferState; text?: string };
  transferDone?: { bytes?: string; seconds?: number; hash?: Record<string, string>; path?: string; verified?: boolean };
  transferFailed?: { reason?: string; text?: string; byPeer?: boolean };
  contactChanged?: Contact;
  contactRemoved?: object;
  contactsReset?: object;
  subscriptionRequested?: SubscriptionRequest;
  subscriptionAnswered?: object;
  blockListChanged?: object;
}
