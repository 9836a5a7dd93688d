-- How far the cell is, for those who wait.
local cell = read_cell()
if not cell then
  do return pack('no_cell') end
end
return pack({ done = { cell[K.history], cell[K.revision], cell[K.woken], cell[K.ordered] } })
