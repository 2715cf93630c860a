#include "node/mcp/wire/parsed.h"

#include "proto/base/check.h"

void parsed_done(struct parsed *parsed)
{
    parsed->payload = mn_buf_unref(parsed->payload);
}

/* Whether [part] lies in [whole]; what has escapes has its text elsewhere. */
static bool parsed_has(struct mn_span whole, struct mn_span part)
{
    return part.data == NULL ||
           (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

static struct mn_span parsed_moved(struct mn_span part, struct mn_span from, const uint8_t *to)
{
    return part.data == NULL ? part : mn_span(to + (part.data - from.data), part.size);
}

void parsed_set(struct parsed *parsed, struct mn_buf *payload, const struct json *root)
{
    const struct mn_span raw = root->raw;
    const uint8_t *to = payload->bytes + payload->size - raw.size;

    parsed_done(parsed);
    MN_ASSERT(raw.size <= payload->size);
    if (root->skip > PARSED_NODES_MAX || payload->size > PARSED_SIZE_MAX) return;
    MN_ASSERT(memcmp(to, raw.data, raw.size) == 0);
    for (uint32_t i = 0; i < root->skip; i++) {
        if (!parsed_has(raw, root[i].text)) return;
        parsed->nodes[i] = root[i];
        parsed->nodes[i].raw = parsed_moved(root[i].raw, raw, to);
        parsed->nodes[i].text = parsed_moved(root[i].text, raw, to);
    }
    parsed->payload = mn_buf_ref(payload);
}

const struct json *parsed_find(const struct parsed *parsed, struct mn_span text)
{
    bool is_known = parsed->payload != NULL && parsed->nodes[0].raw.data == text.data &&
                    parsed->nodes[0].raw.size == text.size;
    return is_known ? parsed->nodes : NULL;
}
