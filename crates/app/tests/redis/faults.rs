//! What befalls the servers of a cell, and the rows in them, and what users and workers see of it.

mod corrupt;
mod full;
