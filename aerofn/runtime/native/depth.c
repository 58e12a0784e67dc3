/* How deep JSON is nested: counted here, since Python's own bound is another in every version of it. */

#include <stdbool.h>
#include <stddef.h>

/* Whether an array or object of the text, which is valid JSON, is inside `most` others. */
bool aerofn_is_deeper(const char *text, size_t size, size_t most)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '"')
            in_string = !in_string;
        else if (c == '\\')
            i++; /* there are none outside of strings */
        else if (in_string)
            continue;
        else if ((c == '[' || c == '{') && ++depth > most)
            return true;
        else if (c == ']' || c == '}')
            depth--;
    }
    return false;
}
