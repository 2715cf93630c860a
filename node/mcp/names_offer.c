#include "node/mcp/names_offer.h"

#include "crypto/digest.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define OWN_NAME_MAX 1024 /* bytes of a tool's own name */

static const struct json_limits kept_shallow = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
static const struct json_limits kept_all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

static bool names_offer_mentions(struct mn_span text, const char *word)
{
    size_t size = strlen(word);
    const uint8_t *at = text.data, *end = text.data + text.size;

    while ((size_t)(end - at) >= size) {
        at = memchr(at, word[0], (size_t)(end - at) - size + 1);
        if (at == NULL) return false;
        if (memcmp(at, word, size) == 0) return true;
        at++;
    }
    return false;
}

/* The arguments a modern client repeats in headers. A schema that breaks the rules for them has
 * none here: such a tool is unusable over HTTP for clients that mind, and plain for the others. */
static void names_offer_params(struct names_service *service, struct names_tool *tool,
                               struct json_parser *parser, struct mn_arena *scratch)
{
    const struct json *definition;
    struct upstream_params params;

    if (!names_offer_mentions(tool->definition, "x-mcp-header")) return;
    if (json_parse_copy(parser, tool->definition, kept_all, scratch, &definition) != MN_OK) return;
    if (upstream_headers_params(json_find_str(definition, "inputSchema"), &service->arena,
                                &params) == MN_OK)
        tool->params = params;
}

static bool names_offer_load_tool(struct names_service *service,
                                  const Meshnode__Gateway__Tool *from, struct json_parser *parser,
                                  struct mn_arena *scratch)
{
    struct mn_span text = pb_span(from->definition), own = pb_text(from->name);
    struct names_tool *tool = &service->tools[service->tools_count];
    const struct json *definition;
    const char *const names[] = {"name", "inputSchema"};
    const struct json *parts[2];

    if (json_parse_copy(parser, text, kept_shallow, scratch, &definition) != MN_OK) return false;
    if (definition->type != JSON_OBJECT) return false;
    if (json_pick(definition, names, 2, parts) != MN_OK) return false;
    if (own.size == 0 || own.size > OWN_NAME_MAX) return false;
    if (!json_is(parts[0], JSON_STRING) || !mn_span_equal(parts[0]->text, own)) return false;
    if (!json_is(parts[1], JSON_OBJECT)) return false;
    if (mn_map_find(&service->tools_by_own, own) != NULL) return false;
    *tool = (struct names_tool){
        .service = service,
        .own = own,
        .definition = text,
        .is_idempotent = from->read_only || from->idempotent,
    };
    names_offer_params(service, tool, parser, scratch);
    mn_map_insert(&service->tools_by_own, &tool->by_own, own);
    service->tools_count++;
    return true;
}

static struct mn_span names_offer_object(struct mn_span text, struct json_parser *parser,
                                         struct mn_arena *scratch)
{
    const struct json *value;

    if (json_parse_copy(parser, text, kept_shallow, scratch, &value) != MN_OK)
        return (struct mn_span){0};
    return value->type == JSON_OBJECT ? text : (struct mn_span){0};
}

static void names_offer_about(struct names_service *service, const Meshnode__Gateway__Offer *offer,
                              struct json_parser *parser, struct mn_arena *scratch)
{
    const struct json *capabilities;
    struct mn_span text = pb_span(offer->capabilities);

    service->server_info = names_offer_object(pb_span(offer->server_info), parser, scratch);
    service->instructions = pb_text(offer->instructions);
    service->has_tools = service->tools_count > 0;
    if (json_parse_copy(parser, text, kept_shallow, scratch, &capabilities) == MN_OK &&
        json_find_str(capabilities, "tools") != NULL)
        service->has_tools = true;
}

static void names_offer_digest(struct names_service *service)
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, NAMES_DIGEST_SIZE);
    digest_variable(&digest, service->name); /* so that no service has the digest zero */
    for (uint32_t i = 0; i < service->tools_count; i++)
        digest_variable(&digest, service->tools[i].definition);
    digest_end(&digest, service->digest);
}

uint64_t names_offer_load(struct names_service *service, struct mn_buf *body,
                          struct json_parser *parser, struct mn_arena *scratch)
{
    const Meshnode__Gateway__Offer *offer;
    uint64_t dropped_count = 0;

    if (body == NULL) return 0;
    offer = pb_unpack(&meshnode__gateway__offer__descriptor, &service->arena, mn_buf_span(body));
    if (offer == NULL) return 1;
    service->tools = mn_arena_alloc(&service->arena, offer->n_tools * sizeof *service->tools);
    for (size_t i = 0; i < offer->n_tools; i++) {
        if (service->tools_count == NAMES_SERVICE_TOOLS_MAX ||
            !names_offer_load_tool(service, offer->tools[i], parser, scratch))
            dropped_count++;
        mn_arena_reset(scratch);
    }
    names_offer_about(service, offer, parser, scratch);
    names_offer_digest(service);
    return dropped_count;
}

static bool names_offer_is_unknown(struct mn_span key, const struct json *value, enum names_era era)
{
    if (era == NAMES_MODERN) return mn_span_is(key, "execution");
    return mn_span_is(key, "outputSchema") &&
           !mn_span_is(json_text(json_find_str(value, "type")), "object");
}

void names_offer_write(struct mn_writer *writer, const struct names_tool *tool, bool is_exposed,
                       enum names_era era, bool is_first, struct json_parser *parser,
                       struct mn_arena *scratch)
{
    const struct json *definition;
    bool is_first_member = true;
    mn_status status =
        json_parse_copy(parser, tool->definition, kept_shallow, scratch, &definition);

    MN_ASSERT(status == MN_OK); /* names_offer_load() has seen it */
    mn_writer_str(writer, is_first ? "{" : ",{");
    for (const struct json *key = json_first(definition); key != NULL;
         key = json_next(definition, key)) {
        const struct json *value = json_value(key);
        if (names_offer_is_unknown(key->text, value, era)) continue;
        if (!is_first_member) mn_writer_str(writer, ",");
        is_first_member = false;
        mn_writer_add(writer, key->raw);
        mn_writer_str(writer, ":");
        if (is_exposed && mn_span_is(key->text, "name"))
            json_write_string(writer, tool->exposed);
        else
            mn_writer_add(writer, value->raw);
    }
    mn_writer_str(writer, "}");
    mn_arena_reset(scratch);
}
