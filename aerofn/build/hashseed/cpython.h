// What of CPython 3.14.0's objects this module reads and writes, as wasm32 lays them out: `long`, `Py_ssize_t`,
// `Py_hash_t` and pointers have four bytes. The guest's CPython comes without headers for its target, so what is needed
// of them is here, each with the file it is from; `fits()` compares it with the CPython that loads the module.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Type Type;

typedef struct {  // Include/object.h: PyObject
    int32_t refs;
    Type *type;
} Object;

typedef int (*Visit)(Object *, void *);
typedef int32_t (*Hash)(Object *);

struct Type {  // Include/cpython/object.h: PyTypeObject
    Object head;
    int32_t size;
    const char *name;
    int32_t basic_size, item_size;
    void *slots[9];
    Hash hash;
    void *more_slots[5];
    uint32_t flags;
    const char *doc;
    int (*traverse)(Object *, Visit, void *);
    void *rest[28];
};

enum {  // Include/object.h: Py_TPFLAGS_*
    HEAP_TYPE = 1 << 9,
    INT = 1 << 24,
    TUPLE = 1 << 26,
    BYTES = 1 << 27,
    STR = 1 << 28,
    DICT = 1 << 29,
};
#define TYPE (1u << 31)

typedef struct {  // Include/cpython/unicodeobject.h: PyASCIIObject
    Object head;
    int32_t length;
    int32_t hash;
    uint32_t interned : 2, kind : 3, compact : 1, ascii : 1, is_static : 1, : 24;
} Str;

typedef struct {  // Include/cpython/bytesobject.h: PyBytesObject
    Object head;
    int32_t size;
    int32_t hash;
} Bytes;

typedef struct {  // Include/cpython/tupleobject.h: PyTupleObject
    Object head;
    int32_t size;
    int32_t hash;
    Object *items[];
} Tuple;

typedef struct {  // Include/cpython/code.h: PyCodeObject
    Object head;
    int32_t size;
    Object *consts, *names, *exceptions;
    int32_t numbers[11];
    uint32_t version;
    Object *local_names, *local_kinds, *file, *name, *qualified_name, *lines;
} Code;

typedef struct {  // Include/internal/pycore_dict.h: PyDictKeysObject; the entries follow the indices
    int32_t refs;
    uint8_t log2_size, log2_index_bytes, kind;
    uint32_t version;
    int32_t usable, used;
    char indices[];
} Keys;

enum { KEYS_OF_ANY_KIND = 0 };  // DICT_KEYS_GENERAL; the others have texts alone

typedef struct {  // PyDictUnicodeEntry
    Object *key, *value;
} TextEntry;

typedef struct {  // PyDictKeyEntry
    int32_t hash;
    Object *key, *value;
} Entry;

typedef struct {  // Include/cpython/dictobject.h: PyDictObject
    Object head;
    int32_t used;
    uint64_t watchers;
    Keys *keys;
    void *values;
} Dict;

typedef struct OrderedNode {  // Objects/odictobject.c: _ODictNode
    Object *key;
    int32_t hash;
    struct OrderedNode *next, *previous;
} OrderedNode;

typedef struct {  // Objects/odictobject.c: PyODictObject
    Dict dict;
    OrderedNode *first, *last;
    void *rest[6];
} OrderedDict;

typedef struct {  // Modules/_functoolsmodule.c: lru_list_elem
    Object head;
    void *previous, *next;
    int32_t hash;
} LruLink;

typedef struct {  // Include/cpython/setobject.h: setentry; the hash of what was removed is -1
    Object *key;
    int32_t hash;
} SetEntry;

typedef struct {  // Include/cpython/setobject.h: PySetObject
    Object head;
    int32_t fill, used, mask;
    SetEntry *table;
    int32_t hash, finger;
    SetEntry small[8];
    Object *weak;
} Set;

typedef struct {  // Include/cpython/weakrefobject.h: PyWeakReference
    Object head;
    Object *referent, *callback;
    int32_t hash;
} Weak;

typedef struct {  // Include/cpython/memoryobject.h: PyMemoryViewObject
    Object head;
    int32_t size;
    void *managed;
    int32_t hash;
} View;

typedef struct {  // Include/datetime.h: what date, datetime, time and timedelta begin with
    Object head;
    int32_t hash;
} Moment;

typedef struct {  // Include/internal/pycore_context.h: PyContextVar
    Object head;
    Object *name;
} Variable;

typedef struct {  // Include/cpython/object.h: PyHeapTypeObject
    Type type;
    void *slots[55];
    Object *name, *slot_names, *qualified_name;
    Keys *cached_keys;
    void *rest[6];
} HeapType;

typedef struct InternedEntry {  // Include/internal/pycore_hashtable.h: _Py_hashtable_entry_t
    struct InternedEntry *next;
    uint32_t hash;
    Str *key;
} InternedEntry;

typedef struct {  // Include/internal/pycore_hashtable.h: _Py_hashtable_t
    uint32_t used, size;
    InternedEntry **buckets;
} InternedTable;

typedef struct {  // Include/methodobject.h: PyMethodDef
    const char *name;
    Object *(*call)(Object *, Object *);
    int flags;
    const char *doc;
} Method;

typedef struct {  // Include/moduleobject.h: PyModuleDef
    Object head;
    void *base[3];
    const char *name, *doc;
    int32_t size;
    Method *methods;
    void *slots[4];
} Module;

extern const uint32_t Py_Version;
extern uint8_t _PyRuntime[], _Py_HashSecret[24];
extern Object _Py_NoneStruct, *PyExc_ImportError;
extern Type PyUnicode_Type, PyBytes_Type, PyTuple_Type, PyCode_Type, PyType_Type, PyDict_Type, PyODict_Type, PySet_Type,
    PyFrozenSet_Type, PyBaseObject_Type, PyMemoryView_Type, PyContextVar_Type, _PyWeakref_RefType;

extern int32_t Py_HashBuffer(const void *, int32_t), PyObject_Hash(Object *);
extern void PyUnstable_GC_VisitObjects(int (*)(Object *, void *), void *);
extern int PyObject_GC_IsTracked(Object *), PyType_IsSubtype(Type *, Type *);
extern void *PyMem_Malloc(size_t), *PyMem_Realloc(void *, size_t);
extern void PyMem_Free(void *);
extern void Py_IncRef(Object *), Py_DecRef(Object *), PyErr_Clear(void), PyErr_SetString(Object *, const char *);
extern Object *PyModule_Create2(Module *, int), *PyLong_FromLong(int32_t), *PyObject_CallNoArgs(Object *);
extern int getentropy(void *, size_t);
