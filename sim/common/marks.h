/* marks.h: marks (MN_PROBE) that runs must reach, as a file lists them: one a line, "# ..." and
 * empty lines aside. So a test that does not reach any more what it is for fails. */
#ifndef MARKS_H
#define MARKS_H

#include <stdbool.h>

/* Prints those of the file that no run has reached, and that are no marks at all. False: there were
 * some, or the file cannot be read. */
bool marks_are_reached(const char *path);

#endif
