// Package pinned is an envelope for XEP-0391 between two clients that have no OMEMO session: keys that are good for a
// day, signed by the certificate that each side shows in DTLS handshakes and that the other has pinned.
//
// # The construction
//
// An identity is a self-signed certificate with an ECDSA key on P-256. Its fingerprint is the SHA-256 of its DER form,
// which is what XEP-0320 signals for the same certificate. F(a, b, ...) below is the concatenation of its arguments, each
// behind its length in four bytes, big-endian; numbers are in decimal. Signatures are ECDSA with SHA-256 in ASN.1.
//
// The responder has an HPKE key (RFC 9180), on P-256 too, which lives in memory only and is replaced every day, or
// after 65,536 envelopes. It tells whoever asks for it by an IQ:
//
//	<key xmlns=NS until='UNIX SECONDS'>
//	  <identity>certificate</identity>
//	  <hpke>public key</hpke>
//	  <signature>of F("jingled jet key 1", responder's bare address, its fingerprint, until, public key)</signature>
//	</key>
//
// The initiator seals the transport secret with HPKE in its base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and
// AES-256-GCM, no additional data, and
//
//	info = F("jingled jet envelope 1", cipher, sid, content name, initiator's full address, responder's full address,
//	         subject, initiator's fingerprint, responder's fingerprint)
//
// and signs what comes out. The subject is a digest of what is offered, so that name and size cannot be changed on the
// way:
//
//	<sealed xmlns=NS>
//	  <identity>certificate</identity>
//	  <secret>encapsulated key, ciphertext</secret>
//	  <signature>of F("jingled jet signature 1", info, public key, secret)</signature>
//	</sealed>
//
// # What it gives
//
// Only the two identities can have made and opened the envelope. The servers see it, but neither open nor replace it
// once identities are pinned. The HPKE keys of both sides are gone after a day (the initiator's at once), so that
// who gets hold of a certificate's key later cannot open what was recorded. The certificate's key signs and never
// decrypts. An envelope opens once: a repeated one is refused, so that no key ever encrypts two things.
//
// What it does not give: before an identity is pinned, the servers vouch for it (trust on first use), and the names,
// sizes and descriptions of files are there for the servers to read (XEP-0391 section 7).
package pinned
