-- One transaction of the register: ten residents who do not exist, each with a record that no second run can repeat.
with recursive n(i) as (select 1 union all select i + 1 from n where i < 10),
     last(id) as (select coalesce(max(id), 0) from resident)
insert into resident(written_at, number, name, address, record)
select strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), printf('%010d', abs(random()) % 10000000000),
       printf('試験 住民%06d', last.id + i), printf('備え市試験町%d丁目%d番地', 1 + abs(random()) % 9, 1 + abs(random()) % 99),
       randomblob(1024)
  from n, last;
