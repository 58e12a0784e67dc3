// The module `aerofn._hashseed` of Python guests: gives every invocation a seed of `hash()` of its own.
//
// A guest begins as a snapshot of CPython, and all of its dicts and sets are laid out by the seed of the build. `renew`
// draws another and lays them out again, in place: a dict's entries stay where they are and in their order, only its
// index of them changes, so iterators, versions and the interpreter's inline caches stay true.
//
// Two rules make that quick and safe:
// - CPython keeps a text's hash in the text. `settle`, at the end of the build, makes the snapshot forget all that it
//   can; what stays is kept by interned texts and by the keys of dicts that have texts alone, for CPython relies on
//   that. `renew` finds both by the tables, without a walk through the heap.
// - Whatever else has a hash (tuples, frozensets, dates, weak references, the author's objects) is asked for it anew.
#include "parts.h"

enum { INTERNED = 9148 };  // where _PyRuntime.cached_objects.interned_strings is
enum { VERSION = 0x030e00f0, API = 1013, NO_ARGUMENTS = 4, ARGUMENTS = 1 };

static const Dict *interned;  // texts by themselves, and, those that CPython's own data has:
static InternedTable *interned_static;
static Hash frozenset_hash;

// --- interned texts ---

static void hash_interned(void) {
    const TextEntry *entries = entries_of_texts(interned->keys);
    for (int32_t at = 0; at < interned->keys->used; at++) {
        Str *text = (Str *)entries[at].key;
        if (text) text->hash = hash_of_text(text);
    }
    InternedEntry *all = NULL;
    for (uint32_t at = 0; at < interned_static->size; at++) {
        for (InternedEntry *entry = interned_static->buckets[at], *next; entry; entry = next) {
            next = entry->next;
            entry->next = all;
            all = entry;
        }
        interned_static->buckets[at] = NULL;
    }
    for (InternedEntry *entry = all, *next; entry; entry = next) {
        next = entry->next;
        entry->key->hash = hash_of_text(entry->key);
        entry->hash = (uint32_t)entry->key->hash;
        InternedEntry **bucket = &interned_static->buckets[entry->hash & (interned_static->size - 1)];
        entry->next = *bucket;
        *bucket = entry;
    }
}

// --- all tables ---

typedef struct {
    Object **items;
    uint32_t count, room;
} List;

static List tables;  // dicts, sets and classes; held for good, for an invocation's sandbox is
static const Object *frozen;  // of them, the first that the collector shows which `gc.freeze` has put away

static bool is_set(Object *object, Type *type) {
    return object->type == type || (object->type->flags & HEAP_TYPE && PyType_IsSubtype(object->type, type));
}

static int find_table(Object *object, void *unused) {
    (void)unused;
    if (object == frozen) return 0;  // what comes now is in the list
    if (!(object->type->flags & (DICT | TYPE)) && !is_set(object, &PySet_Type) && !is_set(object, &PyFrozenSet_Type))
        return 1;
    if (tables.count == tables.room) {
        tables.room = tables.room ? tables.room * 2 : 4096;
        tables.items = PyMem_Realloc(tables.items, tables.room * sizeof *tables.items);
        if (!tables.items) __builtin_trap();
    }
    Py_IncRef(object);
    tables.items[tables.count++] = object;
    return 1;
}

static int find_frozen(Object *object, void *unused) {
    (void)unused;
    for (uint32_t at = 0; at < tables.count && !frozen; at++)
        if (tables.items[at] == object) frozen = object;
    return !frozen;
}

// A dict's keys, or those that the instances of a class share.
static Keys *keys_of(Object *object) {
    if (object->type->flags & DICT) return ((Dict *)object)->keys;
    if (object->type->flags & TYPE && ((Type *)object)->flags & HEAP_TYPE) return ((HeapType *)object)->cached_keys;
    return NULL;
}

static void lay_all_texts(void) {
    for (uint32_t at = 0; at < tables.count; at++) {
        Keys *keys = keys_of(tables.items[at]);
        if (keys && keys->kind != KEYS_OF_ANY_KIND) lay_texts(keys);
    }
}

// A frozenset's hash is made of its members', and they can be in one another, at any depth and in any object. So while
// tables are laid out, its type's function for it is this one, and who asks a frozenset finds it laid out.
static int32_t hash_of_frozenset(Object *object) {
    Set *set = (Set *)object;
    if (!set->finger) {  // which only a set's pop() uses
        set->finger = 1;
        lay_set(set);
    }
    return frozenset_hash(object);
}

static void exchange_hash(Hash from, Hash to) {
    PyFrozenSet_Type.hash = to;
    for (uint32_t at = 0; at < tables.count; at++) {
        Type *type = (Type *)tables.items[at];
        if (type->head.type->flags & TYPE && type->hash == from) type->hash = to;
    }
}

static void lay_frozensets(void) {
    for (uint32_t at = 0; at < tables.count; at++)
        if (is_set(tables.items[at], &PyFrozenSet_Type)) hash_of_frozenset(tables.items[at]);
}

static void forget_frozensets(void) {
    for (uint32_t at = 0; at < tables.count; at++)
        if (is_set(tables.items[at], &PyFrozenSet_Type)) ((Set *)tables.items[at])->finger = 0;
}

static void lay_the_rest(void) {
    for (uint32_t at = 0; at < tables.count; at++) {
        Object *object = tables.items[at];
        if (is_set(object, &PySet_Type)) lay_set((Set *)object);
        if (!(object->type->flags & DICT)) continue;
        if (((Dict *)object)->keys->kind == KEYS_OF_ANY_KIND) lay_any(((Dict *)object)->keys);
        if (is_a(object, &PyODict_Type)) lay_ordered((OrderedDict *)object);
    }
}

static void lay_everything(void) {
    if (getentropy(_Py_HashSecret, sizeof _Py_HashSecret)) __builtin_trap();
    hash_interned();
    PyUnstable_GC_VisitObjects(find_table, NULL);
    lay_all_texts();
    exchange_hash(frozenset_hash, hash_of_frozenset);
    lay_frozensets();
    lay_the_rest();
    exchange_hash(hash_of_frozenset, frozenset_hash);
}

static int32_t count_keys(void) {
    int32_t count = 0;
    for (uint32_t at = 0; at < tables.count; at++) {
        Keys *keys = keys_of(tables.items[at]);
        if (keys) count += keys->used;
        if (is_set(tables.items[at], &PySet_Type) || is_set(tables.items[at], &PyFrozenSet_Type))
            count += ((Set *)tables.items[at])->used;
    }
    return count;
}

// --- the module ---

static Object *renew(Object *self, Object *unused) {
    (void)self, (void)unused;
    lay_everything();
    Py_IncRef(&_Py_NoneStruct);
    return &_Py_NoneStruct;
}

static Object *settle(Object *self, Object *arguments) {
    (void)self;
    Py_IncRef(arguments);
    Object *freeze = ((Tuple *)arguments)->items[0];
    moments = (const Tuple *)((Tuple *)arguments)->items[1];
    forget_hashes();
    lay_everything();
    forget_hashes();
    forget_frozensets();
    lay_all_texts();
    if (!PyObject_CallNoArgs(freeze)) return NULL;
    PyUnstable_GC_VisitObjects(find_frozen, NULL);
    return PyLong_FromLong(count_keys());
}

// The dict of interned texts: no other has more, and each is its own value.
static int find_interned(Object *object, void *unused) {
    (void)unused;
    const Dict *dict = (const Dict *)object;
    if (object->type != &PyDict_Type || dict->keys->kind == KEYS_OF_ANY_KIND || dict->values) return 1;
    if (interned && interned->used >= dict->used) return 1;
    const TextEntry *entries = entries_of_texts(dict->keys);
    for (int32_t at = 0; at < dict->keys->used; at++)
        if (entries[at].key && (entries[at].key != entries[at].value || !((Str *)entries[at].key)->interned)) return 1;
    interned = dict;
    return 1;
}

// Whether this is the CPython whose layout is known here.
static bool fits(void) {
    if (Py_Version != VERSION || PyType_Type.basic_size != sizeof(HeapType) || PyDict_Type.basic_size != sizeof(Dict) ||
        PyODict_Type.basic_size != sizeof(OrderedDict) || PySet_Type.basic_size != sizeof(Set) ||
        PyTuple_Type.basic_size != sizeof(Tuple))
        return false;
    frozenset_hash = PyFrozenSet_Type.hash;
    interned_static = *(InternedTable **)(_PyRuntime + INTERNED);
    PyUnstable_GC_VisitObjects(find_interned, NULL);
    return interned && interned->used > 1000 && interned_static->used > 1000;
}

static Method methods[] = {
    {"renew", renew, NO_ARGUMENTS, "Draw a seed and lay out everything by it."},
    {"settle", settle, ARGUMENTS, "At the end of the build; takes gc.freeze and the types of dates, gives the number of keys."},
    {0},
};
static Module module = {.head = {1, NULL}, .name = "_hashseed", .size = -1, .methods = methods};

__attribute__((visibility("default"))) Object *PyInit__hashseed(void) {
    if (fits()) return PyModule_Create2(&module, API);
    PyErr_SetString(PyExc_ImportError, "aerofn._hashseed is made for CPython 3.14.0 as componentize-py 0.25.1 has it");
    return NULL;
}
