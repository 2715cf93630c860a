/* node_feeds.c: who listens to the resources of the mesh itself (mesh://...). What happens marks
 * the resources that may read differently now; listeners are told of each at most once a second. */
#include "node/node_inside.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define INVALID_PARAMS (-32602) /* JSON-RPC */
#define FEEDS_MAX 16            /* the front of this node needs one */
#define TELL_SOON (100 * MN_MS) /* what happens together is told once */
#define TELL_EVERY MN_SEC
#define RESOURCES_MAX 32 /* bits of a set */

struct feed {
    struct mn_list list;
    uint64_t ticket;
    uint32_t wanted; /* bits by place in node_mesh_resources */
};

struct node_feeds {
    struct mn_list feeds;
    uint32_t feeds_count, changed;
    mn_time told_at, tell_at;
};

struct node_feeds *node_feeds_new(void)
{
    struct node_feeds *feeds = mn_alloc(sizeof *feeds);

    mn_list_init(&feeds->feeds);
    feeds->tell_at = MN_TIME_NEVER;
    return feeds;
}

static void feed_free(struct node_feeds *feeds, struct feed *feed)
{
    mn_list_remove(&feed->list);
    feeds->feeds_count--;
    mn_free(feed);
}

void node_feeds_free(struct node_feeds *feeds)
{
    if (feeds == NULL) return;
    while (!mn_list_is_empty(&feeds->feeds))
        feed_free(feeds, MN_CONTAINER(feeds->feeds.next, struct feed, list));
    mn_free(feeds);
}

static struct feed *feed_find(struct node_feeds *feeds, uint64_t ticket)
{
    MN_LIST_FOR_EACH (entry, &feeds->feeds) {
        struct feed *feed = MN_CONTAINER(entry, struct feed, list);
        if (feed->ticket == ticket) return feed;
    }
    return NULL;
}

static void emit(struct node *node, uint64_t ticket, const Meshnode__Gateway__Event *event)
{
    call_emit(&node->to_mcp, CALL_MESSAGE_EVENT)->event = (struct call_event){
        .ticket = ticket, .kind = CALL_EVENT_PROGRESS, .payload = pb_pack(&event->base)};
}

/* The first event says that it is being served. */
bool node_feeds_open(struct node *node, uint64_t ticket)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    struct node_feeds *feeds = node->feeds;
    struct feed *feed;

    if (feeds->feeds_count == FEEDS_MAX) return false;
    feed = mn_alloc(sizeof *feed);
    feed->ticket = ticket;
    mn_list_push_back(&feeds->feeds, &feed->list);
    feeds->feeds_count++;
    emit(node, ticket, &event);
    return true;
}

/* Which of the mesh's resources that is, as a bit; 0: none. */
static unsigned resource_bit(struct mn_span uri)
{
    for (uint32_t k = 0; node_mesh_resources[k].uri != NULL; k++)
        if (mn_span_is(uri, node_mesh_resources[k].uri)) return 1u << k;
    return 0;
}

/* Who begins to want one is told that it is taken; who wants what there is not, that it is not. */
static void settle(struct node *node, uint64_t ticket, char *uri, bool is_known)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Taken taken = MESHNODE__GATEWAY__TAKEN__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;
    char text[] = "the mesh has no resource of that URI"; /* as when it is read */

    error.code = INVALID_PARAMS;
    error.message = text;
    taken.uri = uri;
    if (!is_known) taken.refusal = &error;
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_TAKEN;
    event.taken = &taken;
    emit(node, ticket, &event);
}

static void want(struct node *node, struct feed *feed, const Meshnode__Gateway__Wishes *wishes)
{
    unsigned before = feed->wanted;

    feed->wanted = 0;
    for (size_t i = 0; i < wishes->n_uris; i++) {
        unsigned bit = resource_bit(pb_text(wishes->uris[i]));
        if (wishes->wants_taken && (bit == 0 || ((before | feed->wanted) & bit) == 0))
            settle(node, feed->ticket, wishes->uris[i], bit != 0);
        feed->wanted |= bit;
    }
}

bool node_feeds_takes(struct node *node, const struct call_message *message)
{
    bool is_input = message->type == CALL_MESSAGE_INPUT;
    uint64_t ticket = is_input ? message->more.ticket : message->ticket;
    struct feed *feed =
        is_input || message->type == CALL_MESSAGE_CANCEL ? feed_find(node->feeds, ticket) : NULL;
    const Meshnode__Gateway__Input *input;

    if (feed == NULL) return false;
    if (!is_input) {
        feed_free(node->feeds, feed);
        return true;
    }
    input = pb_unpack(&meshnode__gateway__input__descriptor, &node->arena,
                      mn_buf_span(message->more.payload));
    if (input == NULL || input->what_case != MESHNODE__GATEWAY__INPUT__WHAT_WISHES) return true;
    want(node, feed, input->wishes);
    return true;
}

/* ---- what happens ---- */

void node_feeds_touch(struct node *node, struct mn_now now, unsigned about)
{
    struct node_feeds *feeds = node->feeds;
    mn_time soon = mn_time_after(now.mono, TELL_SOON);
    mn_time again = mn_time_after(feeds->told_at, TELL_EVERY);

    if (feeds->feeds_count == 0) return;
    for (uint32_t k = 0; node_mesh_resources[k].uri != NULL; k++) {
        MN_ASSERT(k < RESOURCES_MAX);
        if ((node_mesh_resources[k].about & about) != 0) feeds->changed |= 1u << k;
    }
    if (feeds->changed != 0 && feeds->tell_at == MN_TIME_NEVER)
        feeds->tell_at = soon > again ? soon : again;
}

static const struct {
    enum mn_event first, last; /* of the list in trace.h */
    unsigned about;
} events[] = {
    {MN_EV_LINK_UP, MN_EV_LINK_DOWN, NODE_MESH_NODES},
    {MN_EV_MEMBER_ALIVE, MN_EV_MEMBER_REFUTED, NODE_MESH_NODES},
    {MN_EV_CATALOG_CHANGED, MN_EV_CATALOG_CHANGED, NODE_MESH_TOOLS},
    {MN_EV_TOOL_CHANGED, MN_EV_TOOL_CHANGED, NODE_MESH_TOOLS},
    {MN_EV_BREAKER_OPEN, MN_EV_BREAKER_CLOSED, NODE_MESH_TOOLS},
    {MN_EV_SERVER_STARTING, MN_EV_SERVER_STOPPED, NODE_MESH_TOOLS},
    {MN_EV_DECISION_ASKED, MN_EV_DECISION_OUTCOME, NODE_MESH_DECISIONS},
    {MN_EV_CONSENSUS_LEADER, MN_EV_CONSENSUS_FOLLOWER, NODE_MESH_CONSENSUS},
};

void node_feeds_on_event(struct node *node, struct mn_now now, enum mn_event event)
{
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (event >= events[i].first && event <= events[i].last)
            node_feeds_touch(node, now, events[i].about);
}

static void tell(struct node *node, const struct feed *feed)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_UPDATED;
    for (uint32_t k = 0; node_mesh_resources[k].uri != NULL; k++) {
        if ((feed->wanted & node->feeds->changed & (1u << k)) == 0) continue;
        event.updated = (char *)(uintptr_t)node_mesh_resources[k].uri;
        emit(node, feed->ticket, &event);
    }
}

void node_feeds_tick(struct node *node, struct mn_now now)
{
    struct node_feeds *feeds = node->feeds;

    if (feeds->tell_at > now.mono) return;
    MN_LIST_FOR_EACH (entry, &feeds->feeds)
        tell(node, MN_CONTAINER(entry, struct feed, list));
    feeds->changed = 0;
    feeds->told_at = now.mono;
    feeds->tell_at = MN_TIME_NEVER;
}

mn_time node_feeds_deadline(const struct node *node)
{
    return node->feeds->tell_at;
}
