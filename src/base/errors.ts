// The four errors that a user may see. Each says the fact, the reason and the next step, and carries the exit code.
// Everything else that is thrown is a bug in leakscope and ends with exit code 70.

export interface ErrorText {
  /** What could not be done, with the values concerned: "Cannot read process 4312". */
  fact: string;
  /** Why: "the kernel refused (ptrace_scope is 1)". */
  reason: string;
  /** What the user can do now, as one sentence or command. */
  next: string;
}

/** An error that is told to the user without a stack trace. */
export abstract class UserError extends Error {
  abstract readonly exitCode: number;
  readonly text: ErrorText;

  constructor(text: ErrorText, options?: { cause?: unknown }) {
    super(`${text.fact}: ${text.reason}. ${text.next}`, options);
    this.name = new.target.name;
    this.text = text;
  }
}

/** Wrong arguments or input files. */
export class UsageError extends UserError {
  readonly exitCode = 2;
}

/** No such process, no permission, or the target vanished. */
export class AccessError extends UserError {
  readonly exitCode = 3;
}

/** A version, build, architecture or allocator that cannot be read correctly. */
export class UnsupportedError extends UserError {
  readonly exitCode = 4;
}

/** Bytes of the target that could not be read. Internal: whoever reads catches it and counts a problem. */
export class MemoryReadError extends Error {
  readonly address: number;
  readonly byteCount: number;

  constructor(address: number, byteCount: number, options?: { cause?: unknown }) {
    super(`cannot read ${byteCount} bytes at 0x${address.toString(16)}`, options);
    this.name = 'MemoryReadError';
    this.address = address;
    this.byteCount = byteCount;
  }
}
