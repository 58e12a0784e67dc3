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
#include <string.h>

#include "parts.h"

enum { INTERNED = 9148 };  // where _PyRuntime.cached_objects.interned_strings is
enum { VERSION = 0x030e00f0, API = 1013, NO_ARGUMENTS = 4, ARGUMENTS = 1, MOST_ROUNDS = 8 };

static const Dict *interned;  // texts by themselves, and, those that CPython's own data has:
static InternedTable *interned_static;
static Hash frozenset_hash, python_hash;  // of the types; the latter for classes with a __hash__

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

static void forget_frozensets(void) {
    for (uint32_t at = 0; at < tables.count; at++)
        if (is_set(tables.items[at], &PyFrozenSet_Type)) ((Set *)tables.items[at])->finger = 0;
}

static bool asks_python(Object *key);

static bool set_asks_python(const Set *set) {
    for (int32_t at = 0; at <= set->mask; at++)
        if (set->table[at].key && set->table[at].hash != -1 && asks_python(set->table[at].key)) return true;
    return false;
}

static bool dict_asks_python(const Dict *dict) {
    const Entry *entries = (const Entry *)entries_of_texts(dict->keys);
    for (int32_t at = 0; at < dict->keys->used; at++)
        if (entries[at].key && asks_python(entries[at].key)) return true;
    return false;
}

// Whether Python code is run for its hash, which may look into other tables.
static bool asks_python(Object *key) {
    if (key->type->hash == python_hash) return true;
    if (is_set(key, &PyFrozenSet_Type)) return set_asks_python((Set *)key);
    if (!(key->type->flags & TUPLE)) return false;
    const Tuple *tuple = (const Tuple *)key;
    for (int32_t at = 0; at < tuple->size; at++)
        if (asks_python(tuple->items[at])) return true;
    return false;
}

static void lay_tables(bool python) {
    for (uint32_t at = 0; at < tables.count; at++) {
        Object *table = tables.items[at];
        if (is_set(table, &PyFrozenSet_Type)) {
            if (set_asks_python((Set *)table) == python) hash_of_frozenset(table);
        } else if (is_set(table, &PySet_Type)) {
            if (set_asks_python((Set *)table) == python) lay_set((Set *)table);
        } else if (table->type->flags & DICT && ((Dict *)table)->keys->kind == KEYS_OF_ANY_KIND) {
            if (dict_asks_python((Dict *)table) == python) lay_any((Dict *)table);
        }
    }
}

static void lay_all_ordered(void) {
    for (uint32_t at = 0; at < tables.count; at++)
        if (tables.items[at]->type->flags & DICT && is_a(tables.items[at], &PyODict_Type))
            lay_ordered((OrderedDict *)tables.items[at]);
}

// Tables whose keys run Python code for their hash, which may look into others of them.
static void lay_asking_once(void) {
    failures = 0;
    differ = false;
    for (uint32_t at = 0; at < tables.count; at++) {
        Set *set = (Set *)tables.items[at];
        if (is_set(&set->head, &PyFrozenSet_Type) && set_asks_python(set)) set->finger = 0, set->hash = -1;
    }
    lay_tables(true);
}

static void lay_asking(void) {
    int round = 0;
    do lay_asking_once();
    while (differ && ++round < MOST_ROUNDS);
    failures += differ;
}

static void lay_everything(void) {
    hash_interned();
    PyUnstable_GC_VisitObjects(find_table, NULL);
    lay_all_texts();
    exchange_hash(frozenset_hash, hash_of_frozenset);
    lay_tables(false);
    lay_asking();
    lay_all_ordered();
    exchange_hash(hash_of_frozenset, frozenset_hash);
}

static void draw(void) {
    if (getentropy(_Py_HashSecret, sizeof _Py_HashSecret)) __builtin_trap();
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
    draw();
    lay_everything();
    Py_IncRef(&_Py_NoneStruct);
    return &_Py_NoneStruct;
}

static void go_back(const uint8_t *secret) {
    memcpy(_Py_HashSecret, secret, sizeof _Py_HashSecret);
    lay_everything();
}

static Object *settle(Object *self, Object *arguments) {
    (void)self;
    Py_IncRef(arguments);
    Tuple *given = (Tuple *)arguments;
    moments = (const Tuple *)given->items[1];
    python_hash = ((Type *)given->items[2])->hash;
    uint8_t secret[sizeof _Py_HashSecret];
    memcpy(secret, _Py_HashSecret, sizeof secret);
    forget_hashes();
    draw();
    lay_everything();
    bool failed = failures > 0;
    forget_hashes();
    forget_frozensets();
    if (failed)
        go_back(secret);
    else
        lay_all_texts();
    if (failed || !PyObject_CallNoArgs(given->items[0])) return PyLong_FromLong(-1);
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
    {"renew", renew, NO_ARGUMENTS, "Draw a seed and lay out everything by it; once in an invocation."},
    {"settle", settle, ARGUMENTS, "At the end of the build; gives the number of keys, -1 if a hash could not be had anew."},
    {0},
};
static Module module = {.head = {1, NULL}, .name = "_hashseed", .size = -1, .methods = methods};

__attribute__((visibility("default"))) Object *PyInit__hashseed(void) {
    if (fits()) return PyModule_Create2(&module, API);
    PyErr_SetString(PyExc_ImportError, "aerofn._hashseed is made for CPython 3.14.0 as componentize-py 0.25.1 has it");
    return NULL;
}
