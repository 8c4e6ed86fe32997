// A value that can be watched. Changes are told once per frame's work, however many there were.

export class Signal<T> {
  private watchers = new Set<(value: T) => void>();
  private told = true;

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set value(next: T) {
    if (Object.is(next, this.current)) return;
    this.current = next;
    this.touch();
  }

  // touch tells the watchers, also when only something inside of the value has changed.
  touch(): void {
    if (!this.told) return;
    this.told = false;
    queueMicrotask(() => {
      this.told = true;
      for (const w of this.watchers) w(this.current);
    });
  }

  // watch calls back now and with each change, until the returned function is called.
  watch(w: (value: T) => void): () => void {
    this.watchers.add(w);
    w(this.current);
    return () => this.watchers.delete(w);
  }
}
