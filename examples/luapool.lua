-- Each item goes to a worker process, and the worst that it can do there is its own matter.
local map = require "luapool"

local square = [[
  return function(item)
    if item == "leave" then os.exit(3) end
    if item == "stumble" then error("a stone", 0) end
    return item * item
  end
]]

local items = { 2, "stumble", 12, "leave", 1.5 }
local results, errors = map(square, items)
for i, item in ipairs(items) do
  print(item, results[i] or errors[i])
end
