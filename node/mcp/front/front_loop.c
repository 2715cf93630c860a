/* Meshes that are attached to themselves, or to each other. Lists would be fed by themselves then:
 * each mesh shows what the other shows of it, for ever. A request of a node says through which
 * meshes it comes (trail.h), and what answers it, which meshes its list comes from; the server's
 * offer keeps that for all nodes. So whoever would close the circle is refused, when it attaches
 * itself. Two that do so at the same moment know nothing of each other then: of each circle a list
 * is refused at least once, where an id is followed by a smaller one. */
#include <string.h>

#include "node/mcp/front/front_parts.h"
#include "node/mcp/wire/trail.h"
#include "proto/base/check.h"

static const mn_id *loop_mesh(const struct front *front)
{
    return front->keys == NULL ? &front->self : &front->keys->ring.mesh_id;
}

static bool loop_has(const mn_id *ids, uint32_t count, const mn_id *id)
{
    for (uint32_t i = 0; i < count; i++)
        if (mn_id_equal(&ids[i], id)) return true;
    return false;
}

/* The next service whose items that endpoint lists, after [previous] (NULL: the first). Which of
 * them a view shows is not looked at. */
static const struct names_service *loop_next(const struct front *front,
                                             const struct names_endpoint *at,
                                             const struct names_service *previous)
{
    struct mn_map_entry *entry =
        previous == NULL ? NULL : mn_map_find(&front->names.services, previous->name);

    if (at->service != NULL) return previous == NULL ? at->service : NULL;
    while ((entry = mn_map_next(&front->names.services, entry)) != NULL) {
        const struct names_service *service = MN_CONTAINER(entry, struct names_service, by_name);
        if (service->is_listed && !service->is_conflict) return service;
    }
    return NULL;
}

/* Puts [id] into ids[begin..], which stay in order; of too many the smallest are kept. */
static void loop_add(mn_id *ids, uint32_t begin, uint32_t *count, const mn_id *id)
{
    uint32_t at = begin;

    while (at < *count && mn_id_compare(&ids[at], id) < 0)
        at++;
    if (at == TRAIL_MAX || loop_has(ids, *count, id)) return;
    if (*count < TRAIL_MAX) (*count)++;
    memmove(&ids[at + 1], &ids[at], (*count - 1 - at) * sizeof *ids);
    ids[at] = *id;
}

/* The meshes that its list comes from. All nodes say the same: offers are only replicas of each
 * other where they are equal, and these go into them. */
static uint32_t loop_meshes(const struct front *front, const struct names_endpoint *at, mn_id *ret)
{
    const struct names_service *service = NULL;
    uint32_t begin = at->service == NULL, count = begin;

    if (begin == 1) ret[0] = *loop_mesh(front);
    while ((service = loop_next(front, at, service)) != NULL)
        for (uint32_t i = 0; i < service->meshes_count; i++)
            loop_add(ret, begin, &count, &service->meshes[i]);
    return count;
}

static void loop_say(struct front_exchange *exchange, const mn_id *meshes, uint32_t count)
{
    struct mn_writer text = {0};

    if (count == 0) return;
    for (uint32_t i = 0; i < count; i++) {
        char id[MN_ID_TEXT_SIZE];
        mn_writer_format(&text, "%s%s", i == 0 ? "" : ",", mn_id_format(&meshes[i], id));
    }
    mn_buf_unref(exchange->meshes);
    exchange->meshes = mn_writer_done(&text);
}

const char *front_loop_fault(struct front *front, struct front_exchange *exchange,
                             const struct names_endpoint *at, bool is_begin)
{
    mn_id trail[TRAIL_MAX], meshes[TRAIL_MAX];
    uint32_t count = trail_read(front_header(exchange, TRAIL_HEADER), trail), meshes_count;

    if (count == 0) return NULL;
    if (loop_has(trail, count, &front->self) || loop_has(trail, count, loop_mesh(front)))
        return "this mesh cannot be attached to itself";
    meshes_count = loop_meshes(front, at, meshes);
    for (uint32_t i = 0; i < count; i++)
        if (loop_has(meshes, meshes_count, &trail[i]) &&
            (is_begin || mn_id_compare(loop_mesh(front), &trail[i]) < 0)) {
            MN_PROBE("front: meshes are attached to each other");
            return "your mesh is attached to this one, which cannot be attached to yours as well: "
                   "their lists would grow for ever. Attach single servers (/mcp/servers/NAME)";
        }
    loop_say(exchange, meshes, meshes_count);
    return NULL;
}
