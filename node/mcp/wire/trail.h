/* trail.h: the meshes and nodes that a request has left for a server of theirs, and the meshes that
 * answer it, so that a mesh which is attached to itself, through whatever others, is noticed. Both
 * are headers of ids as text. */
#ifndef TRAIL_H
#define TRAIL_H

#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/id.h"

#define TRAIL_HEADER "meshnode-trail"
#define TRAIL_MESHES_HEADER "meshnode-meshes" /* of the answer: what is listed comes from these */
#define TRAIL_MAX 16                          /* ids; a call that has come so far goes no further */

/* The ids in [text], commas or blanks between them, up to the first that is none; returns how many,
 * [ret] has room for TRAIL_MAX. */
static inline uint32_t trail_read(struct mn_span text, mn_id *ret)
{
    const size_t size = MN_ID_TEXT_SIZE - 1;
    uint32_t count = 0;

    while (count < TRAIL_MAX && text.size >= size) {
        if (mn_id_parse(mn_span(text.data, size), &ret[count]) != MN_OK) break;
        count++;
        text = mn_span(text.data + size, text.size - size);
        while (text.size > 0 && (text.data[0] == ',' || text.data[0] == ' '))
            text = mn_span(text.data + 1, text.size - 1);
    }
    return count;
}

#endif
