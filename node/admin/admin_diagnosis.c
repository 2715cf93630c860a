/* What all members find, put together: one score, and each finding once, with who sees it. */
#include "node/admin/admin_internal.h"

#define TIMEOUT_DEFAULT_MS 2000u
#define FINDINGS_MAX 256 /* different ones; more are not told */
#define SEEN_BY_MAX 16   /* nodes named with a finding */
#define LOSS_CRITICAL 40 /* points of 100 */
#define LOSS_WARNING 10

enum level { LEVEL_INFO = 0, LEVEL_WARNING, LEVEL_CRITICAL };

static const char *const level_names[] = {"ok", "warning", "critical"};

struct merged {
    const struct json *finding; /* parsed one level deep */
    enum level level;
    bool is_of_node;
    const char *nodes[SEEN_BY_MAX];
    uint32_t nodes_count;
};

struct diagnosis {
    struct admin_request *request;
    struct merged *items;
    uint32_t count, asked_count, answered_count, score_sum;
    struct reply nodes;
    const char **missing;
    uint32_t missing_count;
};

static enum level level_of(const struct json *finding)
{
    struct mn_span text = json_text(json_find_str(finding, "level"));

    if (mn_span_is(text, "critical")) return LEVEL_CRITICAL;
    return mn_span_is(text, "warning") ? LEVEL_WARNING : LEVEL_INFO;
}

static uint32_t loss_of(enum level level)
{
    static const uint32_t losses[] = {0, LOSS_WARNING, LOSS_CRITICAL};
    return losses[level];
}

static uint32_t less(uint32_t score, uint32_t loss)
{
    return score > loss ? score - loss : 0;
}

static bool is_same(const struct json *a, const struct json *b)
{
    static const char *const members[] = {"code", "message", "next"};

    for (int i = 0; i < 3; i++)
        if (!mn_span_equal(json_text(json_find_str(a, members[i])),
                           json_text(json_find_str(b, members[i]))))
            return false;
    return true;
}

/* A finding about the mesh is the same for all who see it; one about a node is that node's. */
static void add(struct diagnosis *diagnosis, const struct json *finding, const char *node)
{
    bool is_of_node = mn_span_is(json_text(json_find_str(finding, "scope")), "node");
    struct merged *item = NULL;

    for (uint32_t i = 0; i < diagnosis->count && !is_of_node && item == NULL; i++)
        if (!diagnosis->items[i].is_of_node && is_same(diagnosis->items[i].finding, finding))
            item = &diagnosis->items[i];
    if (item == NULL) {
        if (diagnosis->count == FINDINGS_MAX) return;
        item = &diagnosis->items[diagnosis->count++];
        *item = (struct merged){
            .finding = finding, .level = level_of(finding), .is_of_node = is_of_node};
    }
    if (item->nodes_count < SEEN_BY_MAX) item->nodes[item->nodes_count] = node;
    item->nodes_count++;
}

static void add_node(struct diagnosis *diagnosis, const char *name, const mn_id *id,
                     const struct json *check)
{
    const struct json *findings = json_find_str(check, "findings");
    uint32_t score = 100;
    enum level worst = LEVEL_INFO;

    findings =
        findings == NULL ? NULL : admin_parse(diagnosis->request, findings->raw, JSON_ARRAY, 1);
    for (const struct json *item = findings == NULL ? NULL : json_first(findings); item != NULL;
         item = json_next(findings, item)) {
        const struct json *finding = admin_parse(diagnosis->request, item->raw, JSON_OBJECT, 1);
        enum level level = level_of(finding);
        if (finding == NULL) continue;
        add(diagnosis, finding, name);
        if (!mn_span_is(json_text(json_find_str(finding, "scope")), "node")) continue;
        score = less(score, loss_of(level));
        if (level > worst) worst = level;
    }
    diagnosis->score_sum += score;
    diagnosis->answered_count++;
    reply_object(&diagnosis->nodes, NULL);
    reply_text(&diagnosis->nodes, "name", name);
    reply_id(&diagnosis->nodes, "id", id);
    reply_u64(&diagnosis->nodes, "score", score);
    reply_text(&diagnosis->nodes, "level", level_names[worst]);
    reply_object_end(&diagnosis->nodes);
}

static const char *name_of(struct admin_request *request, const mn_id *id)
{
    const struct core *core = request->admin->config.core;
    const struct membership *membership = core_membership(core);
    const struct member *member = membership == NULL ? NULL : membership_find(membership, id);
    struct core_self self = core_self(core);
    struct mn_span name = member != NULL ? mn_span_str(member->record->grant.name) : self.name;

    return (const char *)mn_arena_copy(request->outbox->arena, name).data;
}

static void add_item(struct diagnosis *diagnosis, const struct json *item)
{
    const struct json *object = admin_parse(diagnosis->request, item->raw, JSON_OBJECT, 1);
    const struct json *check = json_find_str(object, "check");
    const char *name;
    mn_id id;

    if (mn_id_parse(json_text(json_find_str(object, "id")), &id) != MN_OK) return;
    name = name_of(diagnosis->request, &id);
    diagnosis->asked_count++;
    check = json_is(check, JSON_OBJECT)
                ? admin_parse(diagnosis->request, check->raw, JSON_OBJECT, 1)
                : NULL;
    if (check != NULL)
        add_node(diagnosis, name, &id, check);
    else
        diagnosis->missing[diagnosis->missing_count++] = name;
}

/* ---- writing ---- */

/* What others say: of their words only those that we know, each of its kind. */
static void write_finding(struct reply *reply, const struct merged *item)
{
    static const char *const words[] = {"code", "message", "next"};
    static const char *const levels[] = {"info", "warning", "critical"};

    reply_text(reply, "level", levels[item->level]);
    reply_text(reply, "scope", item->is_of_node ? "node" : "mesh");
    for (int i = 0; i < 3; i++)
        reply_str(reply, words[i], json_text(json_find_str(item->finding, words[i])));
}

static void write_findings(struct reply *reply, const struct diagnosis *diagnosis)
{
    reply_array(reply, "findings");
    for (int level = LEVEL_CRITICAL; level >= LEVEL_INFO; level--)
        for (uint32_t i = 0; i < diagnosis->count; i++) {
            const struct merged *item = &diagnosis->items[i];
            if (item->level != (enum level)level) continue;
            reply_object(reply, NULL);
            write_finding(reply, item);
            reply_array(reply, "nodes");
            for (uint32_t k = 0; k < item->nodes_count && k < SEEN_BY_MAX; k++)
                reply_text(reply, NULL, item->nodes[k]);
            reply_array_end(reply);
            reply_object_end(reply);
        }
    reply_array_end(reply);
}

/* The mean of the nodes, of which a silent one has nothing, less what is wrong with the mesh. */
static uint32_t score_of(const struct diagnosis *diagnosis, enum level *worst)
{
    uint32_t score =
        diagnosis->asked_count == 0 ? 0 : diagnosis->score_sum / diagnosis->asked_count;

    *worst = diagnosis->missing_count > 0 ? LEVEL_WARNING : LEVEL_INFO;
    for (uint32_t i = 0; i < diagnosis->count; i++) {
        const struct merged *item = &diagnosis->items[i];
        if (item->level > *worst) *worst = item->level;
        if (!item->is_of_node) score = less(score, loss_of(item->level));
    }
    return score;
}

static void write_all(struct admin_request *request, struct diagnosis *diagnosis, int64_t took)
{
    struct reply reply;
    enum level worst;
    uint32_t score = score_of(diagnosis, &worst);

    reply_begin(&reply, "Diagnosis");
    reply_u64(&reply, "score", score);
    reply_text(&reply, "level", level_names[worst]);
    reply_u64(&reply, "asked", diagnosis->asked_count);
    reply_u64(&reply, "answered", diagnosis->answered_count);
    reply_i64(&reply, "took_ms", took);
    write_findings(&reply, diagnosis);
    reply_raw(&reply, "nodes", mn_buf_span(diagnosis->nodes.writer.buf));
    reply_array(&reply, "missing");
    for (uint32_t i = 0; i < diagnosis->missing_count; i++)
        reply_text(&reply, NULL, diagnosis->missing[i]);
    reply_array_end(&reply);
    reply_raw(&reply, "warnings", mn_span_str("[]"));
    admin_answer(request, 200, &reply);
}

static void diagnosis_on_gathered(struct admin_request *request,
                                  const struct admin_gateway_answer *answer)
{
    struct mn_arena *arena = request->outbox->arena;
    const struct json *root = admin_parse(request, answer->json, JSON_OBJECT, 1);
    const struct json *items = json_find_str(root, "items");
    struct diagnosis diagnosis = {.request = request};
    int64_t took = 0;

    items = items == NULL ? NULL : admin_parse(request, items->raw, JSON_ARRAY, 1);
    if (answer->status != MN_OK || items == NULL ||
        json_i64(json_find_str(root, "took_ms"), &took) != MN_OK) {
        admin_fail_status(request, MN_BUSY, mn_span_str("too many ask all members at once"),
                          "try again in a moment");
        return;
    }
    diagnosis.items = mn_arena_alloc(arena, FINDINGS_MAX * sizeof *diagnosis.items);
    diagnosis.missing = mn_arena_alloc(arena, (items->count + 1) * sizeof *diagnosis.missing);
    reply_array(&diagnosis.nodes, NULL);
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item))
        add_item(&diagnosis, item);
    reply_array_end(&diagnosis.nodes);
    write_all(request, &diagnosis, took);
    mn_writer_drop(&diagnosis.nodes.writer);
}

static void diagnosis_handle(struct admin_request *request)
{
    uint64_t ms = TIMEOUT_DEFAULT_MS;

    if (admin_state_query(request, "timeout_ms", 100, 10000, &ms))
        admin_ask_gateway(
            request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_GATHER, .after = ms});
}

const struct admin_route admin_diagnosis_routes[] = {
    {"GET", "/v1/diagnosis", "timeout_ms", diagnosis_handle, diagnosis_on_gathered, NULL, NULL},
    {0},
};
