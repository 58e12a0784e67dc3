// Types of everything a function finds: the event, db, http, env, and the part of the web platform that
// AeroFn brings. In a TypeScript file:  /// <reference types="…/aerofn.d.ts" />
// In a project: name this file in tsconfig.json's "files", with "lib": ["es2023"] and no "dom".

export {};

declare global {
  // -- the event -------------------------------------------------------------------------------------

  type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

  /** Whom the function acts as. */
  interface AeroFnCaller {
    role: string;
    /** The user's id: the token's `sub`. */
    sub?: string | null;
  }

  interface AeroFnRequest<Body = any> {
    method: string;
    /** Below the function's name. */
    path: string;
    query: Record<string, string>;
    /** The query as it was sent, such as `?tag=a&tag=b`: for `new URLSearchParams(request.search)`. */
    search: string;
    /** Names in lower case. */
    headers: Record<string, string>;
    /** Parsed when it is JSON, else text; null without one. */
    body: Body | null;
    /** Whether `body` is base64 of bytes that are no text. */
    isBase64Encoded: boolean;
  }

  /** The second argument of a handler. Only the fields of its kind of trigger are there. */
  interface AeroFnEvent<Input = any> {
    id: string;
    trigger: "row" | "http" | "schedule" | "webhook" | "invoke";
    attempt?: number;
    caller?: AeroFnCaller;
    /** Row triggers, with names as in Supabase's webhooks. */
    type?: "INSERT" | "UPDATE" | "DELETE";
    schema?: string;
    table?: string;
    /** With a `batch_size`: the row events, whose rows the first argument is an array of. */
    batch?: AeroFnEvent[];
    record?: Input | null;
    old_record?: Input | null;
    /** The trigger's name, of rows, schedules and webhooks. */
    name?: string;
    /** HTTP and webhooks. */
    request?: AeroFnRequest<Input>;
    /** Schedules and `aerofn.invoke()`. */
    payload?: Input;
    scheduled_at?: string;
  }

  /**
   * What a file exports as `handler`, by default, or as its only function.
   * `input` is the row (`record`, for DELETE `old_record`), the body of an HTTP request or a webhook, or the payload.
   */
  type AeroFnHandler<Input = any, Output = unknown> = (
    input: Input,
    event: AeroFnEvent<Input>,
  ) => Output | Promise<Output>;

  /** A full HTTP answer; any other value is sent as JSON with status 200. A `Response` will do as well. */
  interface AeroFnHttpResponse {
    statusCode: number;
    headers?: Record<string, string>;
    body?: unknown;
  }

  // -- AeroFn's own globals ----------------------------------------------------------------------------

  /** `{ rows, rowCount }`, and itself a list of the rows: `const [user] = await db.query(…)`. */
  interface QueryResult<Row = any> extends Iterable<Row> {
    rows: Row[];
    /** Rows returned or changed. */
    rowCount: number;
  }

  const db: {
    /**
     * Runs one statement as the caller, in the invocation's one transaction.
     * A number that JavaScript cannot hold (bigint beyond 2^53, long numeric) arrives as a string.
     * @throws {PgError}
     */
    query<Row = any>(sql: string, params?: readonly unknown[]): Promise<QueryResult<Row>>;
  };

  /** What PostgreSQL reported; `code` is the SQLSTATE. */
  class PgError extends Error {
    code?: string;
    detail?: string;
    hint?: string;
    schema?: string;
    table?: string;
    column?: string;
    constraint?: string;
    [field: string]: unknown;
  }

  /** Keys and secrets granted to the function. */
  const env: {
    get(key: string): string | undefined;
    has(key: string): boolean;
  } & { readonly [key: string]: string | undefined };

  /** `fetch` the short way: what is no `BodyInit` is sent as JSON. */
  const http: {
    get(url: string | URL, init?: RequestInit): Promise<Response>;
    post(url: string | URL, body?: unknown, init?: RequestInit): Promise<Response>;
    put(url: string | URL, body?: unknown, init?: RequestInit): Promise<Response>;
    patch(url: string | URL, body?: unknown, init?: RequestInit): Promise<Response>;
    delete(url: string | URL, init?: RequestInit): Promise<Response>;
    /**
     * Sends the request after the invocation's effects have committed, again until it succeeds, and never if they
     * are rolled back. The key is sent as `idempotency-key`.
     */
    fetchAfterCommit(input: string | URL | Request, init?: RequestInit): Promise<{ idempotencyKey: string }>;
  };

  interface Error {
    /** false: trying the event again cannot help, so it is `dead` at once. */
    retry?: boolean;
  }

  // -- the web platform ----------------------------------------------------------------------------------

  const self: typeof globalThis;

  const console: {
    debug(...args: unknown[]): void;
    log(...args: unknown[]): void;
    info(...args: unknown[]): void;
    warn(...args: unknown[]): void;
    error(...args: unknown[]): void;
    clear(): void;
    dir(value: unknown): void;
    dirxml(...args: unknown[]): void;
    table(rows: unknown): void;
    trace(...args: unknown[]): void;
    assert(condition: unknown, ...args: unknown[]): void;
    count(label?: string): void;
    countReset(label?: string): void;
    group(...args: unknown[]): void;
    groupCollapsed(...args: unknown[]): void;
    groupEnd(): void;
    time(label?: string): void;
    timeLog(label?: string, ...args: unknown[]): void;
    timeEnd(label?: string): void;
  };

  const performance: { now(): number; readonly timeOrigin: number };

  function setTimeout<Args extends unknown[]>(callback: (...args: Args) => void, ms?: number, ...args: Args): number;
  function setInterval<Args extends unknown[]>(callback: (...args: Args) => void, ms?: number, ...args: Args): number;
  function clearTimeout(id: number | undefined): void;
  function clearInterval(id: number | undefined): void;
  function queueMicrotask(callback: () => void): void;
  function structuredClone<T>(value: T): T;
  function atob(base64: string): string;
  function btoa(latin1: string): string;

  /** Bytes with a type, in memory. */
  class Blob {
    constructor(parts?: Iterable<string | ArrayBuffer | ArrayBufferView | Blob>, options?: { type?: string });
    readonly size: number;
    readonly type: string;
    slice(start?: number, end?: number, type?: string): Blob;
    text(): Promise<string>;
    bytes(): Promise<Uint8Array>;
    arrayBuffer(): Promise<ArrayBuffer>;
  }

  type BodyInit = string | ArrayBuffer | ArrayBufferView | Blob | URLSearchParams;
  type HeadersInit = Headers | Record<string, string> | Iterable<readonly [string, string]>;

  class Headers implements Iterable<[string, string]> {
    constructor(init?: HeadersInit);
    append(name: string, value: string): void;
    delete(name: string): void;
    get(name: string): string | null;
    getSetCookie(): string[];
    has(name: string): boolean;
    set(name: string, value: string): void;
    forEach(callback: (value: string, name: string, headers: Headers) => void, self?: unknown): void;
    entries(): IterableIterator<[string, string]>;
    keys(): IterableIterator<string>;
    values(): IterableIterator<string>;
    [Symbol.iterator](): IterableIterator<[string, string]>;
  }

  interface RequestInit {
    method?: string;
    headers?: HeadersInit;
    body?: BodyInit | null;
    signal?: AbortSignal | null;
    redirect?: "follow" | "error" | "manual";
  }

  /** Held whole, not streamed: `body` is the text. */
  interface Body {
    readonly body: string | null;
    readonly bodyUsed: boolean;
    readonly headers: Headers;
    text(): Promise<string>;
    json(): Promise<any>;
    bytes(): Promise<Uint8Array>;
    arrayBuffer(): Promise<ArrayBuffer>;
    blob(): Promise<Blob>;
  }

  interface Request extends Body {}
  class Request {
    constructor(input: string | URL | Request, init?: RequestInit);
    readonly url: string;
    readonly method: string;
    readonly signal: AbortSignal | null;
    clone(): Request;
  }

  interface ResponseInit {
    status?: number;
    statusText?: string;
    headers?: HeadersInit;
  }

  interface Response extends Body {}
  class Response {
    constructor(body?: BodyInit | null, init?: ResponseInit);
    static json(value: unknown, init?: ResponseInit): Response;
    static redirect(url: string | URL, status?: number): Response;
    readonly ok: boolean;
    readonly status: number;
    readonly statusText: string;
    readonly url: string;
    readonly redirected: boolean;
    clone(): Response;
  }

  /** Follows the function's egress policy; rejects with a TypeError whose `code` says why. */
  function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;

  class AbortSignal {
    static abort(reason?: unknown): AbortSignal;
    static timeout(ms: number): AbortSignal;
    static any(signals: Iterable<AbortSignal>): AbortSignal;
    readonly aborted: boolean;
    readonly reason: unknown;
    onabort: ((event: { type: "abort" }) => void) | null;
    throwIfAborted(): void;
    addEventListener(type: "abort", listener: (event: { type: "abort" }) => void): void;
    removeEventListener(type: "abort", listener: (event: { type: "abort" }) => void): void;
  }

  class AbortController {
    readonly signal: AbortSignal;
    abort(reason?: unknown): void;
  }

  class DOMException extends Error {
    constructor(message?: string, name?: string);
    readonly code: number;
  }

  class TextEncoder {
    readonly encoding: "utf-8";
    encode(text?: string): Uint8Array;
    encodeInto(text: string, target: Uint8Array): { read: number; written: number };
  }

  /** UTF-8 only. */
  class TextDecoder {
    constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
    readonly encoding: "utf-8";
    readonly fatal: boolean;
    readonly ignoreBOM: boolean;
    decode(bytes?: ArrayBuffer | ArrayBufferView, options?: { stream?: boolean }): string;
  }

  class URL {
    constructor(url: string | URL, base?: string | URL);
    static canParse(url: string, base?: string): boolean;
    static parse(url: string, base?: string): URL | null;
    href: string;
    readonly origin: string;
    protocol: string;
    username: string;
    password: string;
    host: string;
    hostname: string;
    port: string;
    pathname: string;
    search: string;
    readonly searchParams: URLSearchParams;
    hash: string;
    toString(): string;
    toJSON(): string;
  }

  class URLSearchParams implements Iterable<[string, string]> {
    constructor(init?: string | Record<string, string> | Iterable<readonly [string, string]>);
    append(name: string, value: string): void;
    delete(name: string): void;
    get(name: string): string | null;
    getAll(name: string): string[];
    has(name: string): boolean;
    set(name: string, value: string): void;
    sort(): void;
    forEach(callback: (value: string, name: string, params: URLSearchParams) => void): void;
    entries(): IterableIterator<[string, string]>;
    keys(): IterableIterator<string>;
    values(): IterableIterator<string>;
    toString(): string;
    [Symbol.iterator](): IterableIterator<[string, string]>;
  }

  type HashName = "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512";
  type BufferSource = ArrayBuffer | ArrayBufferView;
  interface HmacAlgorithm {
    name: "HMAC";
    hash: HashName | { name: HashName };
    length?: number;
  }

  class CryptoKey {
    private constructor();
    readonly type: "secret";
    readonly extractable: boolean;
    readonly usages: ("sign" | "verify")[];
    readonly algorithm: { name: "HMAC"; hash: { name: HashName }; length: number };
  }

  /** Random values, SHA digests and HMAC; other algorithms reject with NotSupportedError. */
  const crypto: {
    getRandomValues<T extends ArrayBufferView>(array: T): T;
    randomUUID(): string;
    readonly subtle: {
      digest(algorithm: HashName | { name: HashName }, data: BufferSource): Promise<ArrayBuffer>;
      importKey(
        format: "raw" | "jwk", key: any, algorithm: HmacAlgorithm, extractable: boolean, usages: readonly ("sign" | "verify")[],
      ): Promise<CryptoKey>;
      generateKey(algorithm: HmacAlgorithm, extractable: boolean, usages: readonly ("sign" | "verify")[]): Promise<CryptoKey>;
      exportKey(format: "raw" | "jwk", key: CryptoKey): Promise<any>;
      sign(algorithm: "HMAC" | { name: "HMAC" }, key: CryptoKey, data: BufferSource): Promise<ArrayBuffer>;
      verify(
        algorithm: "HMAC" | { name: "HMAC" }, key: CryptoKey, signature: BufferSource, data: BufferSource,
      ): Promise<boolean>;
    };
  };
}
