//! Encrypted linear algebra: layouts, the plan, its executor, its cleartext twin, its cost.
