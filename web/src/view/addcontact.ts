// A form for somebody new on the contact list.

import * as api from "../api/phone";
import { attempt } from "../call/actions";
import { loadContacts, state } from "../state/store";
import { modal } from "./modal";
import { h } from "./dom";
import { accountToUse } from "./people";
import { open } from "./route";

export function addContact(jid = ""): void {
  const address = h("input", { type: "text", id: "new-address", required: true, placeholder: "alice@example.org", value: jid, autocomplete: "off", spellcheck: "false", inputmode: "email" });
  const name = h("input", { type: "text", id: "new-name", autocomplete: "off" });
  const m = modal("Add a contact", [
    h("label", { class: "field" }, h("span", {}, "Address"), address),
    h("label", { class: "field" }, h("span", {}, "Name, as you call them"), name),
    h("p", { class: "hint" }, "They are asked whether you may see when they are online."),
  ], "Add", async () => {
    const account = accountToUse(state.value);
    const who = address.value.trim();
    const added = await attempt(async () => {
      await api.addContact(account, who, name.value.trim());
      await loadContacts();
    });
    if (added) open({ account, jid: who });
    return added;
  });
  m.open();
  address.focus();
}

export function renameContact(account: string, jid: string, before: string): void {
  const name = h("input", { type: "text", id: "new-name", value: before, autocomplete: "off" });
  const m = modal("Rename", [h("label", { class: "field" }, h("span", {}, `Name of ${jid}`), name)], "Save", () =>
    attempt(async () => {
      await api.renameContact(account, jid, name.value.trim());
      await loadContacts();
    }));
  m.open();
  name.select();
}

export function blockPerson(account: string, jid: string): void {
  modal("Block?", [
    h("p", {}, `${jid} cannot call, send files, or see that you are here, until you unblock them.`),
  ], "Block", () => attempt(() => api.block(account, jid)), "bad").open();
}

export function removeContact(account: string, jid: string): void {
  modal("Remove this contact?", [
    h("p", {}, `${jid} is taken off the contact list, and neither of you sees when the other is online any more.`),
  ], "Remove", () => attempt(async () => {
    await api.removeContact(account, jid);
    await loadContacts();
  }), "bad").open();
}
