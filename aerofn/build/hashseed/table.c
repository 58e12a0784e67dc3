// Lays out one table, a dict's keys or a set, by the hashes that its members have now.
#include <string.h>

#include "parts.h"

int32_t hash_of_text(const Str *text) {
    const char *data = (const char *)(text + 1) + (text->ascii ? 0 : 2 * sizeof(void *));
    return Py_HashBuffer(data, text->length * (int32_t)text->kind);
}

// Of a key in a dict of texts. Interned ones have theirs: there are 10,000, and most are in several dicts.
static int32_t hash_of_key(Object *key) {
    Str *text = (Str *)key;
    if (!text->interned) text->hash = hash_of_text(text);
    return text->hash;
}

const TextEntry *entries_of_texts(const Keys *keys) {
    return (const TextEntry *)(keys->indices + ((size_t)1 << keys->log2_index_bytes));
}

#define PROBE(index)                                                                  \
    do {                                                                              \
        index *table = (index *)keys->indices;                                        \
        while (table[slot] >= 0) slot = mask & (slot * 5 + (perturb >>= 5) + 1);      \
        table[slot] = (index)entry;                                                   \
    } while (0)

// As build_indices_generic() of Objects/dictobject.c.
static void put(Keys *keys, int32_t entry, int32_t hash) {
    uint32_t mask = (1u << keys->log2_size) - 1, perturb = (uint32_t)hash, slot = perturb & mask;
    if (keys->log2_size < 8)
        PROBE(int8_t);
    else if (keys->log2_size < 16)
        PROBE(int16_t);
    else
        PROBE(int32_t);
}

static void empty(Keys *keys) {
    memset(keys->indices, 0xff, (size_t)1 << keys->log2_index_bytes);
}

void lay_texts(Keys *keys) {
    if (!keys->used) return;
    const TextEntry *entries = entries_of_texts(keys);
    empty(keys);
    for (int32_t at = 0; at < keys->used; at++)
        if (entries[at].key) put(keys, at, hash_of_key(entries[at].key));
}

static bool is_lru_link(const Object *value) {
    return value->type->flags & HEAP_TYPE && !strcmp(value->type->name, "functools._lru_list_elem");
}

// Of any object: an unhashable one, if its class has become so, keeps the hash it had.
static int32_t hash_anew(Object *key, int32_t before) {
    forget(key, NULL);
    int32_t hash = PyObject_Hash(key);
    if (hash != -1) return hash;
    PyErr_Clear();
    return before;
}

void lay_any(Keys *keys) {
    Entry *entries = (Entry *)entries_of_texts(keys);
    bool changed = false;
    for (int32_t at = 0; at < keys->used; at++) {
        if (!entries[at].key) continue;
        int32_t hash = hash_anew(entries[at].key, entries[at].hash);
        changed |= hash != entries[at].hash;
        entries[at].hash = hash;
        if (is_lru_link(entries[at].value)) ((LruLink *)entries[at].value)->hash = hash;
    }
    if (!changed) return;
    empty(keys);
    for (int32_t at = 0; at < keys->used; at++)
        if (entries[at].key) put(keys, at, entries[at].hash);
}

void lay_ordered(OrderedDict *dict) {
    for (OrderedNode *node = dict->first; node; node = node->next) node->hash = hash_anew(node->key, node->hash);
}

// As set_insert_clean() of Objects/setobject.c.
static void put_into_set(Set *set, SetEntry new) {
    uint32_t mask = (uint32_t)set->mask, perturb = (uint32_t)new.hash, slot = perturb & mask;
    for (;; slot = mask & (slot * 5 + 1 + (perturb >>= 5)))
        for (uint32_t next = slot; next <= (slot + 9 <= mask ? slot + 9 : slot); next++)
            if (!set->table[next].key) {
                set->table[next] = new;
                return;
            }
}

void lay_set(Set *set) {
    if (!set->used) return;
    SetEntry *members = PyMem_Malloc((size_t)set->used * sizeof *members);
    if (!members) __builtin_trap();
    int32_t count = 0;
    bool changed = false;
    for (int32_t at = 0; at <= set->mask; at++) {
        SetEntry member = set->table[at];
        if (!member.key || member.hash == -1) continue;
        int32_t hash = hash_anew(member.key, member.hash);
        changed |= hash != member.hash;
        members[count++] = (SetEntry){member.key, hash};
    }
    if (changed) {
        memset(set->table, 0, ((size_t)set->mask + 1) * sizeof *set->table);
        set->fill = set->used;
        for (int32_t at = 0; at < count; at++) put_into_set(set, members[at]);
    }
    PyMem_Free(members);
}
