// Turns the XML that memcheck writes (--xml=yes) into loss records, one at a time while the file is read: a report may
// have tens of thousands of records of 40 frames each. Source of truth: valgrind's docs/internals/xml-output-protocol4.txt.
//
// A file that ends in the middle (the program was killed) gives the records up to there and `complete: false`. Texts of
// other kinds of error (invalid reads and the like) are only counted.

import { SaxesParser } from 'saxes';
import type { LossKind, LossRecord, NativeFrame } from './loss-record.ts';

export interface MemcheckFile {
  readonly pid: number;
  /** The program and its arguments, as memcheck saw them. */
  readonly command: readonly string[];
  /** Memcheck came to its end, with the leak check. */
  readonly complete: boolean;
  /** The signal that ended the program, if memcheck saw one. */
  readonly fatalSignal: string | undefined;
  /** Errors that are no losses, by memcheck's name: `InvalidRead`. */
  readonly otherErrors: ReadonlyMap<string, number>;
  /** Records that suppressions dropped. */
  readonly suppressed: number;
}

const KINDS: Readonly<Record<string, LossKind>> = {
  Leak_DefinitelyLost: 'definite',
  Leak_IndirectlyLost: 'indirect',
  Leak_PossiblyLost: 'possible',
};

/** No valid XML, but in it if the program's arguments have them. */
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
/** Longer texts of one element are cut: C++ names may be long, but not that long. */
const TEXT_LIMIT = 64 * 1024;

interface OpenError {
  kind: string;
  text: string;
  bytes: number;
  blocks: number;
  frames: NativeFrame[] | undefined;
}

type OpenFrame = { -readonly [Key in keyof NativeFrame]: NativeFrame[Key] };

const emptyFrame = (): OpenFrame => ({
  function: undefined,
  object: undefined,
  directory: undefined,
  file: undefined,
  line: undefined,
  instruction: '',
});

/** Decodes memcheck's XML from `chunks` of text; `onLoss` is called for each leak record. Never throws for bad XML. */
export async function decodeMemcheckXml(
  chunks: AsyncIterable<string>,
  onLoss: (record: LossRecord) => void,
): Promise<MemcheckFile> {
  const decoder = new MemcheckDecoder(onLoss);
  for await (const chunk of chunks) {
    if (!decoder.write(chunk)) break;
  }
  return decoder.finish();
}

class MemcheckDecoder {
  private readonly parser = new SaxesParser({ position: false });
  private readonly onLoss: (record: LossRecord) => void;
  private readonly path: string[] = [];
  private text = '';
  private broken = false;
  private ended = false;
  private error: OpenError | undefined;
  private frame = emptyFrame();
  private frames: NativeFrame[] | undefined;
  private pid = 0;
  private readonly command: string[] = [];
  private fatalSignal: string | undefined;
  private readonly otherErrors = new Map<string, number>();
  private suppressed = 0;
  private suppressedInList = 0;

  constructor(onLoss: (record: LossRecord) => void) {
    this.onLoss = onLoss;
    this.parser.on('opentag', (tag) => this.open(tag.name));
    this.parser.on('closetag', (tag) => this.close(tag.name));
    this.parser.on('text', (text) => {
      if (this.text.length < TEXT_LIMIT) this.text += text;
    });
    this.parser.on('error', () => {
      this.broken = true;
    });
  }

  /** Whether there is any sense in writing more. */
  write(chunk: string): boolean {
    this.parser.write(chunk.replace(FORBIDDEN, '\ufffd'));
    return !this.broken;
  }

  finish(): MemcheckFile {
    return {
      pid: this.pid,
      command: this.command,
      complete: this.ended,
      fatalSignal: this.fatalSignal,
      otherErrors: this.otherErrors,
      suppressed: this.suppressed,
    };
  }

  private open(name: string): void {
    this.path.push(name);
    this.text = '';
    if (name === 'error') {
      this.error = { kind: '', text: '', bytes: 0, blocks: 0, frames: undefined };
    } else if (name === 'stack') this.frames = [];
    else if (name === 'frame') this.frame = emptyFrame();
  }

  private close(name: string): void {
    this.path.pop();
    if (this.broken) return;
    const parent = this.path[this.path.length - 1];
    const text = this.text.trim();
    this.text = '';
    if (parent === 'frame') this.setFrameField(name, text);
    else if (name === 'frame') this.frames?.push(this.frame);
    else if (name === 'stack') this.closeStack();
    else if (name === 'error') this.closeError();
    else if (name === 'valgrindoutput') this.ended = true;
    else if (this.error !== undefined) this.setErrorField(this.error, name, text);
    else this.setOther(parent, name, text);
  }

  private setFrameField(name: string, text: string): void {
    if (name === 'fn') this.frame.function = text;
    else if (name === 'obj') this.frame.object = text;
    else if (name === 'dir') this.frame.directory = text;
    else if (name === 'file') this.frame.file = text;
    else if (name === 'line') this.frame.line = Number(text);
    else if (name === 'ip') this.frame.instruction = text;
  }

  private closeStack(): void {
    // The first stack is where the block was allocated.
    if (this.error !== undefined) this.error.frames ??= this.frames;
    this.frames = undefined;
  }

  private setErrorField(error: OpenError, name: string, text: string): void {
    if (name === 'kind') error.kind = text;
    else if (name === 'leakedbytes') error.bytes = Number(text);
    else if (name === 'leakedblocks') error.blocks = Number(text);
    else if (name === 'text' && error.text === '') error.text = text;
  }

  private closeError(): void {
    const error = this.error;
    this.error = undefined;
    if (error === undefined) return;
    const kind = KINDS[error.kind];
    if (kind === undefined) {
      this.otherErrors.set(error.kind, (this.otherErrors.get(error.kind) ?? 0) + 1);
      return;
    }
    // leakedbytes has both: "88 (24 direct, 64 indirect) bytes in 1 blocks are definitely lost".
    const indirect = /\([\d,]+ direct, ([\d,]+) indirect\)/.exec(error.text)?.[1];
    const holdsBytes = indirect === undefined ? 0 : Number(indirect.replaceAll(',', ''));
    this.onLoss({
      kind,
      bytes: error.bytes - holdsBytes,
      blocks: error.blocks,
      holdsBytes,
      frames: error.frames ?? [],
    });
  }

  private setOther(parent: string | undefined, name: string, text: string): void {
    if (parent === 'valgrindoutput' && name === 'pid') this.pid = Number(text);
    else if (parent === 'argv') this.command.push(text);
    else if (parent === 'fatal_signal' && name === 'signame') this.fatalSignal = text;
    // <suppcounts> comes more than once; the last has the totals.
    else if (name === 'suppcounts') {
      this.suppressed = this.suppressedInList;
      this.suppressedInList = 0;
    } else if (parent === 'pair' && name === 'count' && this.path.includes('suppcounts')) {
      this.suppressedInList += Number(text);
    }
  }
}
