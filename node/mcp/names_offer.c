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
    if (upstream_headers_params(json_find_str(definition, "inputSchema"), &service->params_arena,
                                &params) == MN_OK)
        tool->params = params;
}

/* A copy at the front of the service's block. */
static struct mn_span names_offer_keep(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

static bool names_offer_is_tool(const struct names_service *service, struct mn_span own,
                                struct mn_span text, struct json_parser *parser,
                                struct mn_arena *scratch)
{
    static const char *const names[] = {"name", "inputSchema"};
    const struct json *definition, *parts[2];

    if (json_parse_copy(parser, text, kept_shallow, scratch, &definition) != MN_OK) return false;
    if (definition->type != JSON_OBJECT) return false;
    if (json_pick(definition, names, 2, parts) != MN_OK) return false;
    if (own.size == 0 || own.size > OWN_NAME_MAX) return false;
    if (!json_is(parts[0], JSON_STRING) || !mn_span_equal(parts[0]->text, own)) return false;
    if (!json_is(parts[1], JSON_OBJECT)) return false;
    return mn_map_find(&service->tools_by_own, own) == NULL;
}

static bool names_offer_load_tool(struct names_service *service, uint8_t **to,
                                  const Meshnode__Gateway__Tool *from, struct json_parser *parser,
                                  struct mn_arena *scratch)
{
    struct names_tool *tool = &service->tools[service->tools_count];
    struct mn_span definition = pb_span(from->definition), own = pb_text(from->name);

    if (service->tools_count == NAMES_SERVICE_TOOLS_MAX) return false;
    if (!names_offer_is_tool(service, own, definition, parser, scratch)) return false;
    *tool = (struct names_tool){
        .service = service,
        .own = names_offer_keep(to, own),
        .definition = names_offer_keep(to, definition),
        .is_idempotent = from->read_only || from->idempotent,
    };
    names_offer_params(service, tool, parser, scratch);
    mn_map_insert(&service->tools_by_own, &tool->by_own, tool->own);
    service->tools_count++;
    return true;
}

/* [text] if it is a JSON object, else nothing. */
static struct mn_span names_offer_object(struct mn_span text, struct json_parser *parser,
                                         struct mn_arena *scratch)
{
    const struct json *value;

    if (json_parse_copy(parser, text, kept_shallow, scratch, &value) != MN_OK ||
        value->type != JSON_OBJECT)
        return mn_span(NULL, 0);
    return text;
}

static void names_offer_about(struct names_service *service, uint8_t **to,
                              const Meshnode__Gateway__Offer *offer, struct json_parser *parser,
                              struct mn_arena *scratch)
{
    const struct json *capabilities;
    mn_status status =
        json_parse_copy(parser, pb_span(offer->capabilities), kept_shallow, scratch, &capabilities);

    service->has_tools = service->tools_count > 0 ||
                         (status == MN_OK && json_find_str(capabilities, "tools") != NULL);
    service->server_info =
        names_offer_keep(to, names_offer_object(pb_span(offer->server_info), parser, scratch));
    service->instructions = names_offer_keep(to, pb_text(offer->instructions));
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

/* One block for all tools and texts: mesh-wide there may be very many services. */
static uint8_t *names_offer_block(struct names_service *service,
                                  const Meshnode__Gateway__Offer *offer)
{
    size_t size = offer->n_tools * sizeof *service->tools;

    for (size_t i = 0; i < offer->n_tools; i++)
        size += offer->tools[i]->definition.len + pb_text(offer->tools[i]->name).size;
    size += offer->server_info.len + pb_text(offer->instructions).size;
    service->tools = mn_alloc(size);
    return (uint8_t *)(service->tools + offer->n_tools);
}

uint64_t names_offer_load(struct names_service *service, struct mn_buf *body,
                          struct json_parser *parser, struct mn_arena *scratch)
{
    struct mn_arena unpacked = {0};
    const Meshnode__Gateway__Offer *offer;
    uint64_t dropped_count = 0;
    uint8_t *to;

    if (body == NULL) return 0;
    offer = pb_unpack(&meshnode__gateway__offer__descriptor, &unpacked, mn_buf_span(body));
    if (offer == NULL) {
        mn_arena_done(&unpacked);
        return 1;
    }
    to = names_offer_block(service, offer);
    for (size_t i = 0; i < offer->n_tools; i++) {
        dropped_count += !names_offer_load_tool(service, &to, offer->tools[i], parser, scratch);
        mn_arena_reset(scratch);
    }
    names_offer_about(service, &to, offer, parser, scratch);
    names_offer_digest(service);
    mn_arena_reset(scratch);
    mn_arena_done(&unpacked);
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
