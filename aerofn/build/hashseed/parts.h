// What the files of this module have of one another.
#pragma once

#include <stdbool.h>

#include "cpython.h"

// forget.c
extern const Tuple *moments;  // the types of `Moment`
bool is_a(Object *object, Type *type);
int forget(Object *object, void *unused);
void forget_hashes(void);

// table.c
const TextEntry *entries_of_texts(const Keys *keys);
int32_t hash_of_text(const Str *text);
void lay_texts(Keys *keys);
extern int32_t failures;  // how often a hash could not be had
extern bool differ;       // whether any was another than before
void lay_any(const Dict *dict);
void lay_ordered(OrderedDict *dict);
void lay_set(Set *set);
