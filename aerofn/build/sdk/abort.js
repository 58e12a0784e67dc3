// AbortController and AbortSignal. A host call cannot be interrupted from inside the sandbox, so a signal
// is looked at before and after it; `AbortSignal.timeout` is a time of day, which fetch hands to the host.

export class AbortSignal {
  #reason;
  #deadline = Infinity;
  #listeners = new Set();
  onabort = null;

  static abort(reason) {
    const signal = new AbortSignal();
    signal.fire(reason);
    return signal;
  }

  static timeout(ms) {
    const signal = new AbortSignal();
    signal.#deadline = performance.now() + ms;
    return signal;
  }

  static any(signals) {
    const signal = new AbortSignal();
    for (const source of signals) {
      if (source.aborted) signal.fire(source.reason);
      else source.addEventListener("abort", () => signal.fire(source.reason));
      signal.#deadline = Math.min(signal.#deadline, source.#deadline);
    }
    return signal;
  }

  get aborted() {
    if (this.#reason === undefined && performance.now() >= this.#deadline) {
      this.fire(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    }
    return this.#reason !== undefined;
  }

  get reason() {
    return this.aborted ? this.#reason : undefined;
  }

  // Milliseconds until it aborts by itself: the host ends a request then.
  get remaining() {
    return Math.max(0, this.#deadline - performance.now());
  }

  throwIfAborted() {
    if (this.aborted) throw this.#reason;
  }

  addEventListener(type, listener) {
    if (type === "abort") this.#listeners.add(listener);
  }

  removeEventListener(_type, listener) {
    this.#listeners.delete(listener);
  }

  fire(reason = new DOMException("This operation was aborted", "AbortError")) {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    const event = { type: "abort", target: this };
    this.onabort?.(event);
    for (const listener of this.#listeners) listener.handleEvent ? listener.handleEvent(event) : listener(event);
  }
}

export class AbortController {
  signal = new AbortSignal();

  abort(reason) {
    this.signal.fire(reason);
  }
}
