#include "aerofn.h"

static int64_t words_of(text body) {
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < body.size; i++) {
    bool space = body.at[i] == ' ' || body.at[i] == '\n' || body.at[i] == '\t';
    if (!space && !inside) words++;
    inside = !space;
  }
  return words;
}

result handle(text event) {
  text id = json_get(event, "record.id");
  text words = json_number(words_of(json_string(json_get(event, "record.body"))));

  reply updated = query(TEXT("UPDATE notes SET words = $2 WHERE id = $1"), json_list(2, id, words));
  if (!updated.ok) return fail(updated.json);

  writer line = {0};
  put_text(&line, TEXT("note "));
  put_text(&line, id);
  put_text(&line, TEXT(" has "));
  put_text(&line, words);
  put_text(&line, TEXT(" words"));
  log_info(written(&line));

  writer answer = {0};
  put_text(&answer, TEXT("{\"words\":"));
  put_text(&answer, words);
  put_text(&answer, TEXT("}"));
  return done(written(&answer));
}
