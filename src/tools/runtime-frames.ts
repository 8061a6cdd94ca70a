// Which frames of a native call stack belong to nobody's extension: the interpreter, the C and C++ run-time libraries,
// the tool itself, and what compilers and binding generators put into an extension's own library (inlined std:: code,
// helpers of Cython and pybind11). The first frame that is none of these is where a block is said to be lost.

import type { NativeFrame } from './loss-record.ts';

/** File names of libraries, without their folder. */
const INTERPRETER = /^(?:libpython\d[\d.]*\w?\.so[\d.]*|python\d*(?:\.\d+)*[a-z]*)$/;
const RUNTIME_LIBRARY =
  /^(?:libc|libm|libdl|librt|libutil|libpthread|libstdc\+\+|libgcc_s|libc\+\+|libc\+\+abi|libunwind|ld-linux[\w-]*|ld-musl[\w-]*|ld)(?:[-.][\d.]+)?\.so(?:[.\d]*)$/;
const TOOL_LIBRARY = /^(?:vgpreload_.*|memcheck-.*|libheaptrack_\w+\.so|valgrind.*)$/;
/** Extension modules that come with the interpreter are built into some builds of it. */
const STANDARD_MODULE = /\/lib-dynload\//;

const INLINED_FOLDER = /\/c\+\+\/(?:v1\b|\d+)|\/rustc\/|\/library\/(?:std|core|alloc)\//;
const INLINED_FILE =
  /^(?:new_allocator|alloc_traits|allocator|stl_\w+|basic_string|vector|deque|list|hashtable(?:_policy)?|shared_ptr(?:_base)?|unique_ptr|std_function|allocated_ptr)\.(?:h|tcc)$|^vector\.tcc$/;
const GLUE_FUNCTION =
  /^(?:(?:\w+\s+)?(?:std|__gnu_cxx|pybind11|nanobind|boost::python)::|operator new\b|__Pyx_|<?(?:alloc|core|std|pyo3)::|__r(?:ust|dl|g)_|_?_Znwm$)/;

/** Where Python code is run: what is allocated above it was allocated by Python code, whoever called that. */
const EVALUATION = /^(?:_PyEval_EvalFrame|_PyEval_Vector|PyEval_EvalCode|_PyFunction_Vectorcall)/;
/** Allocates bytes and no objects. */
const BYTE_ALLOCATORS =
  /^(?:PyMem_|PyObject_(?:Malloc|Calloc|Realloc)|_PyMem_|_PyObject_(?:Malloc|Calloc|Realloc))/;
const MODULE_INIT =
  /^(?:PyInit_|__pyx_pymod_(?:exec|create)_|_PyImport_LoadDynamicModuleWithSpec|_PyImport_RunModInitFunc|PyModule_ExecDef|_imp_(?:create|exec)_dynamic|_dl_init$|call_init)/;

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

export const isInterpreterObject = (object: string | undefined): boolean =>
  object !== undefined && (INTERPRETER.test(baseName(object)) || STANDARD_MODULE.test(object));

/** The library is no extension's. A frame in no known library is none either: it cannot be named. */
const isForeignObject = (object: string | undefined): boolean =>
  object === undefined ||
  isInterpreterObject(object) ||
  RUNTIME_LIBRARY.test(baseName(object)) ||
  TOOL_LIBRARY.test(baseName(object));

/** In an extension's library, but not of its making. */
const isGlue = (frame: NativeFrame): boolean =>
  (frame.function !== undefined && GLUE_FUNCTION.test(frame.function)) ||
  (frame.file !== undefined && INLINED_FILE.test(frame.file)) ||
  (frame.directory !== undefined && INLINED_FOLDER.test(frame.directory));

export const isRuntimeFrame = (frame: NativeFrame): boolean =>
  isForeignObject(frame.object) || isGlue(frame);

const isEvaluation = (frame: NativeFrame): boolean =>
  frame.function !== undefined &&
  EVALUATION.test(frame.function) &&
  isInterpreterObject(frame.object);

/**
 * Index of the frame to which a block belongs, or -1: the interpreter allocated it, for itself or for Python code.
 * Where a library has nothing but glue (a vector's code that the compiler did not inline), its first frame.
 */
export function findSiteFrame(frames: readonly NativeFrame[]): number {
  let glue = -1;
  for (let i = 0; i < frames.length; i++) {
    const frame = frames[i];
    if (isEvaluation(frame)) break;
    if (isForeignObject(frame.object)) continue;
    if (!isGlue(frame)) return i;
    if (glue < 0) glue = i;
  }
  return glue;
}

/** The function of a runtime that the site called: `malloc`, `PyBytes_FromStringAndSize`, `operator new(unsigned long)`. */
export const findAllocator = (
  frames: readonly NativeFrame[],
  siteFrame: number,
): NativeFrame | undefined => {
  for (let i = siteFrame - 1; i >= 0; i--) {
    if (isForeignObject(frames[i].object) && frames[i].function !== undefined) return frames[i];
  }
  return undefined;
};

/** Whether the interpreter's API made an object, and not just bytes. */
export const makesObject = (allocator: NativeFrame | undefined): boolean =>
  allocator?.function !== undefined &&
  isInterpreterObject(allocator.object) &&
  !BYTE_ALLOCATORS.test(allocator.function);

/** Allocated while its module was imported, by the module's own beginning: once in a process. */
export function isAtImport(frames: readonly NativeFrame[], siteFrame: number): boolean {
  for (let i = Math.max(0, siteFrame); i < frames.length; i++) {
    if (isEvaluation(frames[i])) return false;
    const name = frames[i].function;
    if (name !== undefined && MODULE_INIT.test(name)) return true;
  }
  return false;
}
