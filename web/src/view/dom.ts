// Elements without markup in strings: the page's policy forbids to parse any.

type Value = string | number | boolean | undefined | ((e: never) => void);
export type Child = Node | string | undefined | false;

// h makes an element. "on..." are listeners, true and false set and leave out an attribute.
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Record<string, Value> = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") e.addEventListener(name.slice(2), value as EventListener);
    else set(e, name, value);
  }
  e.append(...present(children));
  return e;
}

function present(children: Child[]): (Node | string)[] {
  return children.filter((c): c is Node | string => c !== undefined && c !== false);
}

// set changes an attribute only if it is another: what has not changed is not told to screen readers again.
export function set(e: Element, name: string, value: Value): void {
  if (value === undefined || value === false) {
    if (e.hasAttribute(name)) e.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (e.getAttribute(name) !== text) e.setAttribute(name, text);
}

export function text(e: Element, words: string): void {
  if (e.textContent !== words) e.textContent = words;
}

export function show(e: HTMLElement, on: boolean): void {
  if (e.hidden === on) e.hidden = !on;
}

// Row shows one item of a list for as long as it is there.
export interface Row<T> {
  element: HTMLElement;
  update(item: T): void;
}

// list keeps the children of an element in line with items. Rows that stay are the same elements, so that what has the
// focus keeps it.
export function list<T>(parent: HTMLElement, key: (item: T) => string, make: (item: T) => Row<T>): (items: T[]) => void {
  const rows = new Map<string, Row<T>>();
  return (items) => {
    const wanted = new Set(items.map(key));
    for (const [k, row] of rows) {
      if (!wanted.has(k)) {
        row.element.remove();
        rows.delete(k);
      }
    }
    let at = parent.firstElementChild;
    for (const item of items) {
      const k = key(item);
      let row = rows.get(k);
      if (!row) {
        row = make(item);
        rows.set(k, row);
      }
      row.update(item);
      if (row.element === at) at = at.nextElementSibling;
      else parent.insertBefore(row.element, at);
    }
  };
}
