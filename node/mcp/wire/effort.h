/* effort.h: how much may be looked at, in bytes or items, to answer what a stranger may have us ask
 * any number of times. Who answers takes off what it was; when nothing is left, the answer is no,
 * and says no more than that it was not found. */
#ifndef MCP_EFFORT_H
#define MCP_EFFORT_H

#include <stdbool.h>
#include <stddef.h>

/* False: nothing is left. */
static inline bool effort_take(size_t *effort, size_t size)
{
    *effort -= size < *effort ? size : *effort;
    return *effort > 0;
}

#endif
