/* What the programs in this folder share, in C and in C++. */
#ifndef LOCKSTEP_CHECK_H
#define LOCKSTEP_CHECK_H

#include <lockstep.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the line unless `what` holds. */
#define CHECK(what)                                                                                  \
    do {                                                                                             \
        if (!(what)) {                                                                               \
            fprintf(stderr, "%s:%d: not %s; last error: %s\n", __FILE__, __LINE__, #what, lockstep_error()); \
            exit(1);                                                                                 \
        }                                                                                            \
    } while (0)

#endif
