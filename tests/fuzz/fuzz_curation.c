/* A view, a rule and a definition from outside: whatever they say, reading them ends, a view that
 * is refused says why, and a pin is the same each time. */
#include <stdlib.h>

#include "node/mcp/names/curation.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_parser *parser = json_parser_new();
    struct mn_span text = mn_span(data, size), why = {0};
    struct curation_pair pairs[] = {{mn_span_str("view/v"), text}, {mn_span_str("tool/s/t"), text}};
    struct curation curation;
    struct mn_arena arena = {0};
    struct curation_view *view;
    uint8_t pins[2][CURATION_PIN_SIZE];

    curation_init(&curation, 1);
    curation_load(&curation, pairs, 2, parser);
    if (curation_read_view(parser, mn_span_str("v"), text, &arena, &view, &why) == MN_OK) {
        MN_ASSERT(curation.views.count == 1);
        for (int kind = 0; kind < CURATION_KINDS; kind++)
            (void)curation_match(view, (enum curation_kind)kind, mn_span_str("s"), text);
    } else {
        MN_ASSERT(why.size > 0 && curation.views.count == 0);
    }
    if (curation_digest(parser, text, &arena, pins[0]) == MN_OK) {
        MN_ASSERT(curation_digest(parser, text, &arena, pins[1]) == MN_OK);
        MN_ASSERT(memcmp(pins[0], pins[1], sizeof pins[0]) == 0);
    }
    curation_done(&curation);
    mn_arena_done(&arena);
    json_parser_free(parser);
    return 0;
}
