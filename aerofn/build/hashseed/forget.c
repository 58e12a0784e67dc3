// Lets objects forget the hashes that they keep.
#include "parts.h"

const Tuple *moments;

bool is_a(Object *object, Type *type) {
    return object->type == type || PyType_IsSubtype(object->type, type);
}

static bool is_moment(Object *object) {
    for (int32_t at = 0; at < moments->size; at++)
        if (is_a(object, (Type *)moments->items[at])) return true;
    return false;
}

// Where an object keeps its hash; NULL if nowhere, or if it could not be had again.
static int32_t *kept_hash(Object *object) {
    uint32_t flags = object->type->flags;
    if (flags & STR) return ((Str *)object)->interned ? NULL : &((Str *)object)->hash;
    if (flags & BYTES) return &((Bytes *)object)->hash;
    if (flags & TUPLE) return &((Tuple *)object)->hash;
    if (flags & (DICT | TYPE)) return NULL;
    if (is_a(object, &PyFrozenSet_Type)) return &((Set *)object)->hash;
    if (is_a(object, &_PyWeakref_RefType))
        return ((Weak *)object)->referent == &_Py_NoneStruct ? NULL : &((Weak *)object)->hash;
    if (object->type == &PyMemoryView_Type) return &((View *)object)->hash;
    return is_moment(object) ? &((Moment *)object)->hash : NULL;
}

static void forget_all(Object *const *objects, int32_t count) {
    for (int32_t at = 0; at < count; at++)
        if (objects[at]) forget(objects[at], NULL);
}

// What the collector does not know is looked through here: it is no part of a cycle.
int forget(Object *object, void *unused) {
    (void)unused;
    int32_t *hash = kept_hash(object);
    if (hash && *hash != -1) *hash = -1;
    if (object->type == &PyCode_Type) {
        Code *code = (Code *)object;
        forget_all(&code->consts, 3);
        forget_all(&code->local_names, 6);
    } else if (object->type == &PyContextVar_Type) {
        forget_all(&((Variable *)object)->name, 1);
    } else if (object->type == &PyTuple_Type && !PyObject_GC_IsTracked(object)) {
        forget_all(((Tuple *)object)->items, ((Tuple *)object)->size);
    }
    return 0;
}

static void forget_keys(const Keys *keys) {
    const TextEntry *texts = entries_of_texts(keys);
    const Entry *entries = (const Entry *)texts;
    for (int32_t at = 0; at < keys->used; at++) {
        Object *key = keys->kind == KEYS_OF_ANY_KIND ? entries[at].key : texts[at].key;
        if (key) forget(key, NULL);
    }
}

static int forget_tracked(Object *object, void *unused) {
    forget(object, NULL);
    if (object->type->flags & DICT) forget_keys(((Dict *)object)->keys);  // of texts, its traverse shows values alone
    if (object->type->flags & TYPE && ((Type *)object)->flags & HEAP_TYPE) {
        HeapType *type = (HeapType *)object;
        forget_all(&type->name, 3);
        if (type->cached_keys) forget_keys(type->cached_keys);
    }
    if (object->type->traverse) object->type->traverse(object, forget, unused);
    return 1;
}

// Texts and bytes that are only held where no traverse comes: a time zone's name, CPython's bytes of length one. What
// looks like one in memory and has its very hash is one, or was: nobody reads what is free.
static void forget_unreachable(void) {
    uint8_t *end = (uint8_t *)(__builtin_wasm_memory_size(0) << 16);
    for (Object *one = (Object *)1024; (uint8_t *)one < end - 64; one = (Object *)((uint8_t *)one + 4)) {
        bool text = one->type == &PyUnicode_Type;
        if (!text && one->type != &PyBytes_Type) continue;
        Str *as_text = (Str *)one;  // whose length and hash lie where those of bytes do
        uint32_t kind = text ? as_text->kind : 1;
        if ((text && (as_text->interned || !as_text->compact)) || as_text->hash == -1 || as_text->length <= 0) continue;
        if (kind != 1 && kind != 2 && kind != 4) continue;
        uint8_t *data = (uint8_t *)one + (text ? sizeof(Str) + (as_text->ascii ? 0 : 8) : sizeof(Bytes));
        uint32_t room = (uint32_t)(end - data) / kind;
        if ((uint32_t)as_text->length >= room || data[(uint32_t)as_text->length * kind]) continue;  // each ends with 0
        if (Py_HashBuffer(data, as_text->length * (int32_t)kind) == as_text->hash) as_text->hash = -1;
    }
}

void forget_hashes(void) {
    forget_unreachable();
    PyUnstable_GC_VisitObjects(forget_tracked, NULL);
}
