-- The resident register of the tiny guest. WAL, as most applications set it.
pragma journal_mode = wal;
create table if not exists resident(
  id integer primary key,
  written_at text not null,
  number text not null,
  name text not null,
  address text not null,
  record blob not null
);
