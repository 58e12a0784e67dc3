// Gives every new post a slug made of its title: "Hello, World!" becomes "hello-world".
#include "aerofn.h"

static text slug_of(text title) {
  writer out = {0};
  bool gap = false;
  for (size_t i = 0; i < title.size; i++) {
    char c = title.at[i];
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (kept && gap && out.size > 0) put_text(&out, TEXT("-"));
    if (kept) put_text(&out, (text){&c, 1});
    gap = !kept;
  }
  return written(&out);
}

result handle(text event) {
  text post = json_get(event, "record");
  text slug = slug_of(json_string(json_get(post, "title")));
  if (slug.size == 0) return fail(TEXT("{\"name\":\"NoSlug\",\"message\":\"the title has no letter or digit\",\"retry\":false}"));

  text params = json_list(2, json_get(post, "id"), json_of(slug));
  reply updated = query(TEXT("UPDATE posts SET slug = $2 WHERE id = $1"), params);
  if (!updated.ok) return fail(updated.json);

  log_info(slug);
  return done(json_of(slug));
}
