#include "node/mcp/upstream/upstream_given.h"

#include "node/mcp/upstream/upstream_question.h"
#include "proto/base/check.h"

struct given {
    struct mn_map_entry by_handle;
    struct mn_list in_order;
    uint8_t handle[UPSTREAM_HANDLE_SIZE];
    mn_time until;
    struct mn_buf *answer;
};

static struct given *given_oldest(const struct upstream_host *host)
{
    if (mn_list_is_empty(&host->given_order)) return NULL;
    return MN_CONTAINER(host->given_order.next, struct given, in_order);
}

static struct given *given_of(const struct upstream_host *host, struct mn_span handle)
{
    struct mn_map_entry *entry = mn_map_find(&host->given, handle);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct given, by_handle);
}

static void given_free(struct upstream_host *host, struct given *given)
{
    mn_map_remove(&host->given, &given->by_handle);
    mn_list_remove(&given->in_order);
    host->given_size -= given->answer->size;
    mn_buf_unref(given->answer);
    mn_free(given);
}

static void given_watch(struct upstream_host *host)
{
    const struct given *oldest = given_oldest(host);

    if (oldest == NULL)
        upstream_timer_clear(host, &host->given_timer);
    else
        upstream_timer_set(host, &host->given_timer, oldest->until - host->now.mono);
}

void upstream_given_keep(struct upstream_host *host, struct mn_span handle, struct mn_buf *answer)
{
    struct given *given = given_of(host, handle);

    MN_ASSERT(handle.size == UPSTREAM_HANDLE_SIZE);
    if (answer->size > UPSTREAM_GIVEN_SIZE_MAX) return;
    if (given != NULL) given_free(host, given);
    while (host->given.count >= UPSTREAM_GIVEN_MAX ||
           host->given_size + answer->size > UPSTREAM_GIVEN_SIZE_MAX)
        given_free(host, given_oldest(host));
    given = mn_alloc(sizeof *given);
    memcpy(given->handle, handle.data, sizeof given->handle);
    given->until = mn_time_after(host->now.mono, UPSTREAM_GIVEN_TTL);
    given->answer = mn_buf_ref(answer);
    host->given_size += answer->size;
    mn_map_insert(&host->given, &given->by_handle, mn_span(given->handle, sizeof given->handle));
    mn_list_push_back(&host->given_order, &given->in_order);
    given_watch(host);
}

struct mn_buf *upstream_given_find(struct upstream_host *host, struct mn_span handle)
{
    const struct given *given = given_of(host, handle);
    return given == NULL ? NULL : given->answer;
}

void upstream_given_on_timer(struct upstream_host *host)
{
    struct given *oldest;

    while ((oldest = given_oldest(host)) != NULL && oldest->until <= host->now.mono)
        given_free(host, oldest);
    given_watch(host);
}

void upstream_given_done(struct upstream_host *host)
{
    for (struct given *oldest; (oldest = given_oldest(host)) != NULL;)
        given_free(host, oldest);
    mn_map_done(&host->given);
}

void upstream_given_check(const struct upstream_host *host)
{
    MN_ASSERT(host->given.count <= UPSTREAM_GIVEN_MAX);
    MN_ASSERT(host->given_size <= UPSTREAM_GIVEN_SIZE_MAX);
    MN_ASSERT((host->given.count > 0) == (host->given_timer.heap.index_plus_one != 0));
}
