/* work.h: how many bytes a step of the gateway's halves handles: copied, searched, checked, of
 * templates compared. A test
 * that is linked with it (tests/mcp/CMakeLists.txt) has its calls of those functions counted. Bytes
 * are exact where times are not. */
#ifndef TEST_WORK_H
#define TEST_WORK_H

#include <stddef.h>

size_t work_worst(void); /* of all steps since the last reset */
void work_reset(void);

#endif
