// Lays out one table, a dict's keys or a set, by the hashes that its members have now.
#include <string.h>

#include "parts.h"

enum { MOST_TRIES = 4 };  // with a table that a __hash__ changes

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

int32_t failures;
bool differ;

static void forget_key(Object *key) {
    forget(key, NULL);
    if (!(key->type->flags & TUPLE)) return;
    Tuple *tuple = (Tuple *)key;
    for (int32_t at = 0; at < tuple->size; at++) forget_key(tuple->items[at]);
}

// What cannot be had keeps the hash it had, and `settle` hears of it.
static int32_t hash_anew(Object *key, int32_t before) {
    forget_key(key);
    int32_t hash = PyObject_Hash(key);
    if (hash != -1) return hash;
    PyErr_Clear();
    failures++;
    return before;
}

// Asks all for their hashes anew, and only then lets go of any: a __hash__ may have changed the table meanwhile.
static bool ask_all(SetEntry *members, int32_t count) {
    bool differs = false;
    for (int32_t at = 0; at < count; at++) Py_IncRef(members[at].key);
    for (int32_t at = 0; at < count; at++) {
        int32_t hash = hash_anew(members[at].key, members[at].hash);
        differs |= hash != members[at].hash;
        members[at].hash = hash;
    }
    for (int32_t at = 0; at < count; at++) Py_DecRef(members[at].key);
    return differs;
}

static SetEntry *room_for(int32_t count) {
    SetEntry *members = PyMem_Malloc((size_t)count * sizeof *members);
    if (!members) __builtin_trap();
    return members;
}

// The keys with new hashes, for the caller to free; NULL if the dict has changed meanwhile.
static SetEntry *members_of_dict(const Dict *dict, bool *differs) {
    const Keys *keys = dict->keys;
    const Entry *entries = (const Entry *)entries_of_texts(keys);
    int32_t used = keys->used, usable = keys->usable, count = 0;
    SetEntry *members = room_for(used);
    for (int32_t at = 0; at < used; at++)
        if (entries[at].key) members[count++] = (SetEntry){entries[at].key, entries[at].hash};
    *differs = ask_all(members, count);
    if (dict->keys == keys && keys->used == used && keys->usable == usable && dict->used == count) return members;
    PyMem_Free(members);
    return NULL;
}

void lay_any(const Dict *dict) {
    bool differs = false;
    SetEntry *members = NULL;
    for (int tries = 0; !members && tries < MOST_TRIES; tries++) {
        if (!dict->keys->used || dict->keys->kind != KEYS_OF_ANY_KIND) return;
        members = members_of_dict(dict, &differs);
    }
    if (!members) {
        failures++;
        return;
    }
    differ |= differs;
    if (differs) {
        Keys *keys = dict->keys;
        Entry *entries = (Entry *)entries_of_texts(keys);
        empty(keys);
        for (int32_t at = 0, member = 0; at < keys->used; at++) {
            if (!entries[at].key) continue;
            int32_t hash = entries[at].hash = members[member++].hash;
            if (is_lru_link(entries[at].value)) ((LruLink *)entries[at].value)->hash = hash;
            put(keys, at, hash);
        }
    }
    PyMem_Free(members);
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

static SetEntry *members_of_set(const Set *set, bool *differs) {
    const Set was = *set;
    int32_t count = 0;
    SetEntry *members = room_for(was.used);
    for (int32_t at = 0; at <= was.mask; at++)
        if (was.table[at].key && was.table[at].hash != -1) members[count++] = was.table[at];
    *differs = ask_all(members, count);
    if (set->table == was.table && set->mask == was.mask && set->used == was.used && set->fill == was.fill)
        return members;
    PyMem_Free(members);
    return NULL;
}

void lay_set(Set *set) {
    bool differs = false;
    SetEntry *members = NULL;
    for (int tries = 0; !members && tries < MOST_TRIES; tries++) {
        if (!set->used) return;
        members = members_of_set(set, &differs);
    }
    if (!members) {
        failures++;
        return;
    }
    differ |= differs;
    if (differs) {
        memset(set->table, 0, ((size_t)set->mask + 1) * sizeof *set->table);
        set->fill = set->used;
        for (int32_t at = 0; at < set->used; at++) put_into_set(set, members[at]);
    }
    PyMem_Free(members);
}
