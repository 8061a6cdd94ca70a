// A private folder in which the target and leakscope meet: 0700, of the target's user, under /tmp or the like of the TARGET's
// mount namespace. Turns a pid into such a folder and removes it; and removes what a leakscope that was killed left there.
//
// Every step goes through descriptors of folders (/proc/self/fd/N), never through a path of the target: its links cannot lead
// us elsewhere, and the folder can be removed when the target is gone. Names carry the owner's pid namespace, pid and start
// time, so that another leakscope can tell whether the owner still runs.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { AccessError } from '../base/errors.ts';
import { findProcessStat, findProcText, findStatusField } from '../memory/process-status.ts';

/** Where programs may write, in this order. */
const PLACES = ['tmp', 'dev/shm', 'var/tmp', 'run'];
const NAME = /^leakscope-[0-9a-z]+-[0-9a-z]+-[0-9a-z]+-[0-9a-f]{8}$/;
const NAME_WITHIN = /leakscope-([0-9a-z]+)-([0-9a-z]+)-([0-9a-z]+)-[0-9a-f]{8}/;
const FILES = ['s', 'a.py', 'b.py'];
const FOLDER_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const MAX_LEFTOVERS = 100;

export interface ChannelFolder {
  /** As the target sees it: `/tmp/leakscope-…`. */
  targetPath: string;
  /** As leakscope reaches it: `/proc/self/fd/21`. */
  ownPath: string;
  /** Writes a file that the target's user can read and nobody else. */
  writeFile(name: 'a.py' | 'b.py', text: string): void;
  /** Gives the socket `s` to the target's user. */
  shareSocket(): void;
  /** Removes what is in it and itself; may be called twice. */
  remove(): void;
}

/** Creates it; throws AccessError if there is no place for it. */
export function createChannelFolder(pid: number): ChannelFolder {
  const { uid, gid } = findOwner(pid);
  const failures: string[] = [];
  for (const place of PLACES) {
    try {
      return createIn(pid, place, uid, gid);
    } catch (error) {
      failures.push(`/${place}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
    }
  }
  throw new AccessError({
    fact: `Cannot run code in process ${pid}`,
    reason: `there is no folder in which it and leakscope could meet (${failures.join(', ')})`,
    next: 'Make /tmp or /dev/shm of the program writable for leakscope.',
  });
}

/** Effective user and group. Those of /proc/PID are root's where the process is not dumpable. */
function findOwner(pid: number): { uid: number; gid: number } {
  const status = findProcText(`/proc/${pid}/status`) ?? '';
  const effective = (field: string): number =>
    Number(findStatusField(status, field)?.split(/\s+/)[1] ?? -1);
  return { uid: effective('Uid'), gid: effective('Gid') };
}

function createIn(pid: number, place: string, uid: number, gid: number): ChannelFolder {
  const parent = openInside(pid, place);
  let folder: number | undefined;
  try {
    removeLeftovers(parent);
    const name = makeName();
    const path = `/proc/self/fd/${parent}/${name}`;
    mkdirSync(path, 0o700);
    folder = openSync(path, FOLDER_FLAGS);
    refuseUnlessOurs(folder);
    const changesOwner = process.getuid?.() === 0 && uid !== 0;
    return describeFolder({
      parent,
      folder,
      name,
      place,
      owner: changesOwner ? { uid, gid } : undefined,
    });
  } catch (error) {
    if (folder !== undefined) closeSync(folder);
    closeSync(parent);
    throw error;
  }
}

interface Opened {
  parent: number;
  folder: number;
  name: string;
  place: string;
  /** To whom everything in it is given; undefined: it is ours and stays so. */
  owner: { uid: number; gid: number } | undefined;
}

function describeFolder({ parent, folder, name, place, owner }: Opened): ChannelFolder {
  const ownPath = `/proc/self/fd/${folder}`;
  if (owner !== undefined) fchownSync(folder, owner.uid, owner.gid);
  let isThere = true;
  return {
    targetPath: `/${place}/${name}`,
    ownPath,
    writeFile: (file, text) => {
      const flags =
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const fd = openSync(`${ownPath}/${file}`, flags, 0o600);
      try {
        writeFileSync(fd, text);
        fchmodSync(fd, 0o600);
        if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
      } finally {
        closeSync(fd);
      }
    },
    shareSocket: () => {
      if (owner !== undefined) lchownSync(`${ownPath}/s`, owner.uid, owner.gid);
    },
    remove: () => {
      if (!isThere) return;
      isThere = false;
      removeFiles(ownPath);
      ignoreMissing(() => rmdirSync(`/proc/self/fd/${parent}/${name}`));
      closeSync(folder);
      closeSync(parent);
    },
  };
}

/** A folder of the target's own file system, opened part by part so that no link is followed. */
function openInside(pid: number, place: string): number {
  let fd = openSync(`/proc/${pid}/root/`, constants.O_RDONLY | constants.O_DIRECTORY);
  for (const part of place.split('/')) {
    const outer = fd;
    try {
      fd = openSync(`/proc/self/fd/${outer}/${part}`, FOLDER_FLAGS);
    } finally {
      closeSync(outer);
    }
  }
  return fd;
}

/** What was just made could have been replaced by somebody who owns the folder around it. */
function refuseUnlessOurs(folder: number): void {
  const status = fstatSync(folder);
  if (status.uid !== process.geteuid?.() || (status.mode & 0o777) !== 0o700) {
    throw new Error('the new folder is not ours');
  }
  if (readdirSync(`/proc/self/fd/${folder}`).length > 0)
    throw new Error('the new folder is not empty');
}

function makeName(): string {
  const startTime = findProcessStat(process.pid)?.startTimeTicks ?? 0;
  const parts = [ownNamespace(), process.pid, startTime].map((value) => value.toString(36));
  return `leakscope-${parts.join('-')}-${randomBytes(4).toString('hex')}`;
}

const ownNamespace = (): number => Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? 0);

/** Whether a text names the folder of a leakscope of our pid namespace that no longer runs. */
export function isOfDeadOwner(text: string): boolean {
  const match = NAME_WITHIN.exec(text);
  if (match === null) return false;
  const [namespace, pid, startTime] = match.slice(1, 4).map((part) => Number.parseInt(part, 36));
  return namespace === ownNamespace() && findProcessStat(pid)?.startTimeTicks !== startTime;
}

/** Folders of leakscopes that were killed; those of other users, pid namespaces and living owners stay. */
function removeLeftovers(parent: number): void {
  const path = `/proc/self/fd/${parent}`;
  const names = readdirSync(path).filter((name) => NAME.test(name) && isOfDeadOwner(name));
  for (const name of names.slice(0, MAX_LEFTOVERS)) {
    let folder: number | undefined;
    try {
      folder = openSync(`${path}/${name}`, FOLDER_FLAGS);
      removeFiles(`/proc/self/fd/${folder}`);
      rmdirSync(`${path}/${name}`);
    } catch {
      // Not ours to remove, or another leakscope was faster.
    } finally {
      if (folder !== undefined) closeSync(folder);
    }
  }
}

function removeFiles(folder: string): void {
  for (const file of FILES) ignoreMissing(() => unlinkSync(`${folder}/${file}`));
}

function ignoreMissing(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!['ENOENT', 'ENOTEMPTY', 'EROFS', 'EACCES', 'EPERM'].includes(code)) throw error;
  }
}
